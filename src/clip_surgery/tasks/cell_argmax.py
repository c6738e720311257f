"""Argmax over resized maps without resizing all of them.

Between four neighbouring patch centres, a resized map is a weighted mean of its values there, with
weights from 0 to 1. So a text whose four values are all below those of another text loses
everywhere between them, and only the few remaining candidates of each such cell are evaluated at
its pixels. This is exact, and most cells have one to three candidates, whatever the number of
texts.

Texts are compared with the best text of each corner and with the best by mean, which leaves a few
more candidates than comparing all pairs would, for far less work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from clip_surgery.tasks.map_resize import Axis, MapResize

_VALUES = 2**22
"""Corner values compared, and pixels evaluated, at a time: 16 MiB of float32."""


class Winner(NamedTuple):
    """The best map at each pixel.

    Attributes:
        number: (H, W) int32, the first map with the highest value.
        value: (H, W) float32, its value; None if it was not requested.
    """

    number: Tensor
    value: Tensor | None


def argmax_of_resized(maps: Tensor, resize: MapResize, *, with_value: bool = False) -> Winner:
    """Return which of the resized maps is the highest at each pixel.

    Args:
        maps: (n, rows, columns) float32, n at least 1.
        resize: the resize to (H, W).
        with_value: whether to return the highest value as well.
    """
    rows, columns = _Cells.of(resize.rows), _Cells.of(resize.columns)
    pixels = rows.weights.shape[1] * columns.weights.numel()  # of one row of cells
    values_of_row = max(4 * len(maps) * len(columns.before), pixels)
    step = max(1, _VALUES // values_of_row)
    numbers, values = [], []
    for start in range(0, len(rows.before), step):
        part = rows.part(slice(start, start + step))
        number, value = _argmax(maps, part, columns, with_value=with_value)
        numbers.append(number)
        values.append(value)
    number = _in_image(torch.cat(numbers), rows, columns)
    return Winner(number, _in_image(torch.cat(values), rows, columns) if with_value else None)


class _Cells(NamedTuple):
    """The intervals between patch centres along one axis that have a sample.

    Attributes:
        before: (c,) patch before each interval.
        after: (c,) patch after it.
        weights: (c, s) weight of the patch after, for each sample of the interval; padded.
        place: (n,) where each sample is in the flattened (c, s).
    """

    before: Tensor
    after: Tensor
    weights: Tensor
    place: Tensor

    @classmethod
    def of(cls, axis: Axis) -> _Cells:
        cells, number, counts = torch.unique_consecutive(
            axis.cell, return_inverse=True, return_counts=True
        )
        first = counts.cumsum(0) - counts
        within = torch.arange(len(number), device=number.device) - first[number]
        width = int(counts.max())
        place = number * width + within
        weights = axis.weight.new_zeros(len(cells) * width)
        weights[place] = axis.weight
        return cls(axis.lower[first], axis.upper[first], weights.view(len(cells), width), place)

    def part(self, cells: slice) -> _Cells:
        """Some of the intervals; `place` is kept and not valid for them."""
        return _Cells(self.before[cells], self.after[cells], self.weights[cells], self.place)


def _argmax(
    maps: Tensor, rows: _Cells, columns: _Cells, *, with_value: bool
) -> tuple[Tensor, Tensor]:
    """Number and value of the best map in each cell's pixels (row cells, column cells, h, w).

    Values of cells with a single candidate are left at zero unless they are needed.
    """
    corners = _corners(maps, rows, columns)  # (4, n, cells)
    candidate = _candidates(corners)  # (n, cells) bool
    height, width = rows.weights.shape[1], columns.weights.shape[1]
    candidates = candidate.T.nonzero(as_tuple=True)[1]  # by cell, then by map
    counts = candidate.sum(dim=0)
    first = counts.cumsum(0) - counts
    number = candidates[first].to(torch.int32)[:, None, None].repeat(1, height, width)
    value = maps.new_zeros(len(counts), height, width)
    for cells, size in _groups_of_cells(counts, height * width, smallest=1 if with_value else 2):
        # A cell with fewer candidates repeats its last one, which changes nothing.
        rank = torch.arange(size, device=cells.device)[:, None].minimum(counts[cells] - 1)
        challengers = candidates[first[cells] + rank]  # (size, m)
        row_weights = rows.weights[cells // len(columns.before)]
        column_weights = columns.weights[cells % len(columns.before)]
        values = _bilinear(corners[:, challengers, cells], row_weights, column_weights)
        best = values.amax(dim=0)  # (m, h, w)
        wins = values == best
        numbers = challengers.to(torch.int32)[..., None, None]
        number[cells] = torch.where(wins, numbers, len(maps)).amin(dim=0)
        value[cells] = best
    shape = (len(rows.before), len(columns.before), height, width)
    return number.view(shape), value.view(shape)


def _groups_of_cells(counts: Tensor, pixels: int, *, smallest: int) -> Iterator[tuple[Tensor, int]]:
    """Cells with about the same number of candidates, and the largest number among them.

    Cells are grouped by powers of two, so there are few groups, and cells are evaluated for at most
    twice their candidates. A group has at most `_VALUES` values, or a single cell.

    Args:
        counts: number of candidates of each cell.
        pixels: pixels of a cell.
        smallest: cells with fewer candidates are left out.
    """
    size, largest = smallest, int(counts.max())
    while size <= 2 * largest:
        group = ((counts > size // 2) & (counts >= smallest) & (counts <= size)).nonzero()[:, 0]
        if len(group):
            for cells in torch.split(group, max(1, _VALUES // (size * pixels))):
                yield cells, size
        size *= 2


def _bilinear(corners: Tensor, row_weights: Tensor, column_weights: Tensor) -> Tensor:
    """Values (k, m, h, w) between corners (4, k, m), with weights (m, h) and (m, w)."""
    top_left, top_right, bottom_left, bottom_right = corners[..., None]
    top = top_left.lerp(top_right, column_weights)
    bottom = bottom_left.lerp(bottom_right, column_weights)
    return torch.lerp(top[..., None, :], bottom[..., None, :], row_weights[..., None])


def _corners(maps: Tensor, rows: _Cells, columns: _Cells) -> Tensor:
    """Values of each map at the four corners of each cell: (4, n, cells)."""
    corners = [
        maps.index_select(1, row).index_select(2, column).flatten(1)
        for row in (rows.before, rows.after)
        for column in (columns.before, columns.after)
    ]
    return torch.stack(corners)


def _candidates(corners: Tensor) -> Tensor:
    """Which maps (n, cells) may win in a cell: those that none of its rivals beats at all corners.

    A map is left out if a rival is higher at all four corners, or if a rival that comes before it
    is at least as high at all of them. Either way the map is not the first with the highest value.
    """
    numbers = torch.arange(corners.shape[1], device=corners.device)[:, None]
    candidate = torch.ones(corners.shape[1:], dtype=torch.bool, device=corners.device)
    for rival in torch.cat([corners, corners.mean(dim=0, keepdim=True)]).argmax(dim=1):
        height = corners.gather(1, rival.expand(4, 1, -1))  # (4, 1, cells)
        lead = (height - corners).amin(dim=0)  # (n, cells)
        candidate &= (lead < 0) | ((lead == 0) & (rival >= numbers))
    return candidate


def _in_image(values: Tensor, rows: _Cells, columns: _Cells) -> Tensor:
    """Values (row cells, column cells, h, w) at the pixels of the image (H, W)."""
    flat = values.transpose(1, 2).flatten(2).flatten(0, 1)
    return flat.index_select(0, rows.place).index_select(1, columns.place)
