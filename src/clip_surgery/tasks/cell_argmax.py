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

from typing import NamedTuple

import torch
from torch import Tensor

from clip_surgery.tasks.map_resize import Axis, MapResize

_VALUES = 2**22
"""Corner values compared at a time: 16 MiB of float32."""


class Winner(NamedTuple):
    """The best map at each pixel.

    Attributes:
        number: (H, W) int64, the first map with the highest value.
        value: (H, W) float32, its value.
    """

    number: Tensor
    value: Tensor


def argmax_of_resized(maps: Tensor, resize: MapResize) -> Winner:
    """Return index and value of the highest of the resized maps at each pixel.

    Args:
        maps: (n, rows, columns) float32, n at least 1.
        resize: the resize to (H, W).
    """
    rows, columns = _Cells.of(resize.rows), _Cells.of(resize.columns)
    step = max(1, _VALUES // (4 * len(maps) * max(1, len(columns.before))))
    parts = [
        _argmax(maps, rows.part(slice(start, start + step)), columns)
        for start in range(0, len(rows.before), step)
    ]
    index = torch.cat([part.number for part in parts])  # (row cells, h, column cells, w)
    value = torch.cat([part.value for part in parts])
    return Winner(_in_image(index, rows, columns).to(torch.int64), _in_image(value, rows, columns))


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


def _argmax(maps: Tensor, rows: _Cells, columns: _Cells) -> Winner:
    """Index and value (row cells, h, column cells, w) of the best map in each cell's pixels."""
    corners = _corners(maps, rows, columns)  # (4, n, cells)
    candidate = _candidates(corners)  # (n, cells) bool
    height, width = rows.weights.shape[1], columns.weights.shape[1]
    cell_count = candidate.shape[1]
    cells, numbers = candidate.T.nonzero(as_tuple=True)  # by cell, then by map
    counts = torch.bincount(cells, minlength=cell_count)
    rank = torch.arange(len(cells), device=cells.device) - (counts.cumsum(0) - counts)[cells]
    index = maps.new_zeros(cell_count, height, width, dtype=torch.int32)
    value = maps.new_zeros(cell_count, height, width)
    per_column = columns.weights.repeat(len(rows.before), 1)
    per_row = rows.weights.repeat_interleave(len(columns.before), 0)
    for number in range(int(counts.max())):
        chosen = rank == number
        of_rank, map_of_rank = cells[chosen], numbers[chosen]
        top_left, top_right, bottom_left, bottom_right = corners[:, map_of_rank, of_rank, None]
        weight = per_column[of_rank]
        top, bottom = top_left.lerp(top_right, weight), bottom_left.lerp(bottom_right, weight)
        values = torch.lerp(top[:, None], bottom[:, None], per_row[of_rank, :, None])
        filled = map_of_rank.to(torch.int32)[:, None, None].expand_as(values)
        if number == 0:  # every cell has a first candidate
            index.copy_(filled)
            value.copy_(values)
        else:
            known = value[of_rank]
            index[of_rank] = torch.where(values > known, filled, index[of_rank])
            value[of_rank] = torch.maximum(values, known)
    shape = (len(rows.before), len(columns.before), height, width)
    return Winner(index.view(shape).transpose(1, 2), value.view(shape).transpose(1, 2))


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
        beaten = (height > corners).all(dim=0)
        matched = (height >= corners).all(dim=0) & (rival < numbers)
        candidate &= ~(beaten | matched)
    return candidate


def _in_image(values: Tensor, rows: _Cells, columns: _Cells) -> Tensor:
    """Values (row cells, h, column cells, w) at the pixels of the image (H, W)."""
    flat = values.flatten(2).flatten(0, 1)
    return flat.index_select(0, rows.place).index_select(1, columns.place)
