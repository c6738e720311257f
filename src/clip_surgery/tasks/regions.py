"""Connected regions of many maps in one labelling, with their extents between samples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from clip_surgery.framing import Size

_TOUCHING = np.ones((3, 3), dtype=np.uint8)
"""Samples that touch by a side or a corner are of one region."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The n regions of T maps.

    Attributes:
        map_numbers: (n,) the map of each region.
        areas: (n,) in samples.
        means: (n,) mean level of the samples.
        xyxy: (n, 4) left, top, right, bottom in pixels of the image; right and bottom are
            exclusive.
    """

    map_numbers: NDArray[np.int64]
    areas: NDArray[np.int64]
    means: NDArray[np.float64]
    xyxy: NDArray[np.int64]


def find_regions(levels: NDArray[np.float32], threshold: float, image_size: Size) -> Regions:
    """Return the connected regions of maps where the level is at least `threshold`.

    Levels are samples at the centres of (h, w) equal parts of the image. The sides of a region are
    placed where the level, linear between two samples, crosses the threshold; a region at the rim
    reaches the rim. If there is one sample for each pixel, sides are those of the pixels.

    Args:
        levels: (T, h, w).
        threshold: lowest level of a region.
        image_size: height and width of the image in pixels.
    """
    from scipy import ndimage  # takes a third of a second, which other tasks do not need

    maps, height, width = levels.shape
    # Each map gets an empty line below and an empty column on the right, so that maps can be
    # labelled one below the other in two dimensions, and no region continues in the next line.
    mask = np.zeros((maps, height + 1, width + 1), np.bool_)
    np.greater_equal(levels, threshold, out=mask[:, :height, :width])
    labels, count = ndimage.label(mask.reshape(-1, width + 1), structure=_TOUCHING)
    field = _Field(levels, mask.ravel(), labels.ravel(), threshold, count)
    starts, ends = field.runs
    regions = field.labels[starts]
    areas = np.bincount(regions, weights=ends - starts, minlength=count + 1)[1:].astype(np.int64)
    sums = np.bincount(regions, weights=field.sums_of_runs, minlength=count + 1)[1:]
    map_numbers = np.zeros(count + 1, np.int64)
    map_numbers[regions] = starts // ((height + 1) * (width + 1))
    left, right = field.extent(starts, ends - 1, axis=2, pixels=image_size.width)
    top, bottom = field.extent(*field.vertical_edges, axis=1, pixels=image_size.height)
    return Regions(
        map_numbers=map_numbers[1:],
        areas=areas,
        means=np.minimum(1.0, sums / np.maximum(areas, 1)),
        xyxy=np.stack([left, top, right, bottom], axis=1),
    )


@dataclass(frozen=True, eq=False)
class _Field:
    """Samples of T maps (h, w), of which each has an empty line and an empty column at its end.

    Attributes:
        levels: (T, h, w).
        mask: (T (h + 1) (w + 1),) where the levels reach the threshold.
        labels: the region 1, 2, ... of each sample of the mask, 0 for none.
        threshold: lowest level of a region.
        count: number of regions.
    """

    levels: NDArray[np.float32]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int32]
    threshold: float
    count: int

    @cached_property
    def runs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First sample of each horizontal run of the mask, and the sample after it."""
        changes = np.flatnonzero(self.mask[1:] != self.mask[:-1]) + 1
        if self.mask.size and self.mask[0]:
            changes = np.concatenate([[0], changes])
        return changes[::2], changes[1::2]

    @property
    def sums_of_runs(self) -> NDArray[np.float64]:
        """Sum of the levels of each run."""
        starts, ends = self.runs
        if not len(starts):
            return np.zeros(0)
        first = self._indices(starts)
        bounds = np.stack([first, first + (ends - starts)], axis=1).ravel()
        # A last bound at the end of the levels is no valid index, and not needed.
        bounds = bounds[:-1] if bounds[-1] == self.levels.size else bounds
        return np.add.reduceat(self.levels.ravel(), bounds, dtype=np.float64)[::2]

    @property
    def vertical_edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Samples of the mask with no neighbour in it above, and those with none below."""
        line = self.levels.shape[2] + 1
        below = np.flatnonzero(self.mask[line:] != self.mask[:-line]) + line
        is_top = self.mask[below]
        return np.concatenate([np.flatnonzero(self.mask[:line]), below[is_top]]), (
            below[~is_top] - line
        )

    def extent(
        self, begin: NDArray[np.int64], end: NDArray[np.int64], *, axis: int, pixels: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First pixel and end of each region along an axis of an image of `pixels` pixels.

        Args:
            begin: samples of the mask at which regions begin along this axis.
            end: samples at which they end.
            axis: 1 for lines, 2 for columns.
            pixels: number of pixels of the image along this axis.
        """
        length = self.levels.shape[axis]
        step = self.levels.shape[2] if axis == 1 else 1
        # in units of samples, whose centres are at 0.5, 1.5, ...
        first = np.full(self.count + 1, np.inf)
        last = np.full(self.count + 1, -np.inf)
        indices = self._indices(begin)
        position = indices // step % length
        begins = np.where(position == 0, 0.0, position + 0.5 - self._reach(indices, -step))
        np.minimum.at(first, self.labels[begin], begins)
        indices = self._indices(end)
        position = indices // step % length
        ends = np.where(position == length - 1, length, position + 0.5 + self._reach(indices, step))
        np.maximum.at(last, self.labels[end], ends)
        scale = pixels / length
        first_pixel = np.ceil(first[1:] * scale - 0.5).clip(0, pixels - 1).astype(np.int64)
        end_pixel = np.floor(last[1:] * scale - 0.5).astype(np.int64) + 1
        return first_pixel, np.maximum(end_pixel, first_pixel + 1).clip(1, pixels)

    def _indices(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """Indices of samples of the mask among the levels."""
        _, height, width = self.levels.shape
        line = samples // (width + 1)
        indices: NDArray[np.int64] = samples - line - line // (height + 1) * width
        return indices

    def _reach(self, indices: NDArray[np.int64], step: int) -> NDArray[np.float64]:
        """How far each region reaches from a sample to its neighbour outside, in [0, 1).

        The value of a sample at the rim has no meaning.
        """
        levels = self.levels.ravel()
        inside = levels[indices].astype(np.float64)
        outside = levels[(indices + step).clip(0, levels.size - 1)].astype(np.float64)
        difference = inside - outside
        return (inside - self.threshold) / np.where(difference > 0, difference, 1.0)
