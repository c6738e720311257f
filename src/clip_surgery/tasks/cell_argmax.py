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
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from clip_surgery.tasks.map_resize import Axis, MapResize

_VALUES = 2**22
"""Corner values compared, and pixels evaluated, at a time: 16 MiB of float32."""
_KEPT_PIXELS = 2**20
"""Images of at most this many pixels are processed together, and their pixel order is kept."""


class Winner(NamedTuple):
    """The best map at each pixel of each image.

    Columns are contiguous in memory, as run lengths are written column by column.

    Attributes:
        number: (..., H, W), the first map with the highest value, int16 or, if there are too many
            maps, int32.
        value: (..., H, W) float32, its value; None if it was not requested.
    """

    number: Tensor
    value: Tensor | None


def argmax_of_resized(maps: Tensor, resize: MapResize, *, with_value: bool = False) -> Winner:
    """Return which of the resized maps of an image is the highest at each pixel.

    Args:
        maps: (..., n, rows, columns) float32, n at least 1, for one image or several.
        resize: the resize to (H, W).
        with_value: whether to return the highest value as well.
    """
    rows, columns = _cells(resize.rows), _cells(resize.columns)
    batch = maps.reshape(-1, *maps.shape[-3:])
    pixels = rows.weights.numel() * columns.weights.numel()
    corner_values = 4 * batch.shape[1] * len(rows.before) * len(columns.before)
    count = max(1, _KEPT_PIXELS // max(pixels, corner_values))
    order = _pixel_order(resize)
    numbers, values = [], []
    for images in torch.split(batch, count):
        number, value = _argmax_of_images(images, rows, columns, with_value=with_value)
        numbers += [image.flatten().index_select(0, order) for image in number]
        if with_value:
            values += [image.flatten().index_select(0, order) for image in value]
    shape = (*maps.shape[:-3], len(resize.columns.cell), len(resize.rows.cell))

    def in_images(parts: list[Tensor]) -> Tensor:
        return torch.cat(parts).view(shape).transpose(-1, -2)

    return Winner(in_images(numbers), in_images(values) if with_value else None)


class _Cells(NamedTuple):
    """The intervals between patch centres along one axis that have a sample.

    Attributes:
        before: (c,) patch before each interval.
        after: (c,) patch after it.
        weights: (c, s) weight of the patch after, for each sample of the interval; padded.
        cell: (n,) interval of each sample, as an index of `before`.
        within: (n,) index of each sample in its interval.
    """

    before: Tensor
    after: Tensor
    weights: Tensor
    cell: Tensor
    within: Tensor

    def part(self, cells: slice) -> _Cells:
        """Some of the intervals; `cell` and `within` are kept and not valid for them."""
        return self._replace(
            before=self.before[cells], after=self.after[cells], weights=self.weights[cells]
        )


@lru_cache(maxsize=16)
def _cells(axis: Axis) -> _Cells:
    cells, number, counts = torch.unique_consecutive(
        axis.cell, return_inverse=True, return_counts=True
    )
    first = counts.cumsum(0) - counts
    within = torch.arange(len(number), device=number.device) - first[number]
    weights = axis.weight.new_zeros(len(cells), int(counts.max()))
    weights[number, within] = axis.weight
    return _Cells(axis.lower[first], axis.upper[first], weights, number, within)


def _pixel_order(resize: MapResize) -> Tensor:
    """Where each pixel, column by column, is among the values (row cells, column cells, w, h)."""
    height, width = resize.size
    return _kept_order(resize) if height * width <= _KEPT_PIXELS else _order(resize)


def _order(resize: MapResize) -> Tensor:
    rows, columns = _cells(resize.rows), _cells(resize.columns)
    height, width = rows.weights.shape[1], columns.weights.shape[1]
    of_row = rows.cell * (len(columns.before) * width * height) + rows.within
    of_column = (columns.cell * width + columns.within) * height
    return (of_column[:, None] + of_row).flatten()


_kept_order = lru_cache(maxsize=4)(_order)


def _argmax_of_images(
    maps: Tensor, rows: _Cells, columns: _Cells, *, with_value: bool
) -> tuple[Tensor, Tensor]:
    """Number and value of the best map in each cell, (B, row cells, column cells, w, h).

    A single image is processed in parts if its values are too many.
    """
    if len(maps) > 1:
        return _argmax(maps, rows, columns, with_value=with_value)
    pixels = rows.weights.shape[1] * columns.weights.numel()  # of one row of cells
    step = max(1, _VALUES // max(4 * maps.shape[1] * len(columns.before), pixels))
    parts = [
        _argmax(maps, rows.part(slice(start, start + step)), columns, with_value=with_value)
        for start in range(0, len(rows.before), step)
    ]
    if len(parts) == 1:
        return parts[0]
    return torch.cat([n for n, _ in parts], dim=1), torch.cat([v for _, v in parts], dim=1)


def _argmax(
    maps: Tensor, rows: _Cells, columns: _Cells, *, with_value: bool
) -> tuple[Tensor, Tensor]:
    """Number and value of the best map in each cell's pixels (B, row cells, column cells, w, h).

    Values are empty unless they are needed.
    """
    corners = _corners(maps, rows, columns)  # (4, n, cells of all images)
    candidate = _candidates(corners)  # (n, cells) bool
    height, width = rows.weights.shape[1], columns.weights.shape[1]
    candidates = candidate.T.nonzero(as_tuple=True)[1]  # by cell, then by map
    candidates = candidates.to(torch.int16 if len(candidate) < 2**15 else torch.int32)
    counts = candidate.sum(dim=0)
    first = counts.cumsum(0) - counts
    number = candidates[first][:, None, None].repeat(1, width, height)
    value = maps.new_zeros(len(counts) if with_value else 0, width, height)
    for cells, size in _groups_of_cells(counts, height * width, smallest=1 if with_value else 2):
        # A cell with fewer candidates repeats its last one, which changes nothing.
        rank = torch.arange(size, device=cells.device)[:, None].minimum(counts[cells] - 1)
        challengers = candidates[first[cells] + rank]  # (size, m), ascending
        row_weights = rows.weights[cells // len(columns.before) % len(rows.before)]
        column_weights = columns.weights[cells % len(columns.before)]
        values = _bilinear(corners[:, challengers.long(), cells], row_weights, column_weights)
        best, best_number = _first_best(values, challengers)
        number[cells] = best_number
        if with_value:
            value[cells] = best
    shape = (len(maps), len(rows.before), len(columns.before), width, height)
    return number.view(shape), value.view(shape) if with_value else value


def _first_best(values: Tensor, challengers: Tensor) -> tuple[Tensor, Tensor]:
    """Highest of the values (k, m, w, h), and which of (k, m) ascending numbers has it first."""
    best, number = values[0], challengers[0, :, None, None].expand(values.shape[1:])
    for challenge, of_challenger in zip(values[1:], challengers[1:], strict=True):
        number = torch.where(challenge > best, of_challenger[:, None, None], number)
        best = torch.maximum(challenge, best)
    return best, number


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
    """Values (k, m, w, h) between corners (4, k, m), with weights (m, h) and (m, w)."""
    top_left, top_right, bottom_left, bottom_right = corners[..., None]
    top = top_left.lerp(top_right, column_weights)
    bottom = bottom_left.lerp(bottom_right, column_weights)
    return torch.lerp(top[..., None], bottom[..., None], row_weights[:, None])


def _corners(maps: Tensor, rows: _Cells, columns: _Cells) -> Tensor:
    """Values of each map at the corners of each cell of B images: (4, n, B x cells)."""
    by_map = maps.transpose(0, 1)
    corners = [
        by_map.index_select(2, row).index_select(3, column).flatten(1)
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
