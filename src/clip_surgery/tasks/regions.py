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
    mask = levels >= threshold
    # One below the other with an empty line between them, because labelling in two dimensions is
    # several times as fast as in three.
    stacked = np.zeros((maps, height + 1, width), np.bool_)
    stacked[:, :height] = mask
    labels, count = ndimage.label(stacked.reshape(-1, width), structure=_TOUCHING)
    labels = labels.reshape(stacked.shape)[:, :height]
    field = _Field(levels, mask, labels.ravel(), threshold, count)
    left, right = field.extent(axis=2, pixels=image_size.width)
    top, bottom = field.extent(axis=1, pixels=image_size.height)
    samples = np.flatnonzero(mask)
    regions = field.labels[samples]
    areas = np.bincount(regions, minlength=count + 1)[1:]
    sums = np.bincount(regions, weights=levels.ravel()[samples], minlength=count + 1)[1:]
    return Regions(
        map_numbers=field.first_samples // (height * width),
        areas=areas,
        means=np.minimum(1.0, sums / np.maximum(areas, 1)),
        xyxy=np.stack([left, top, right, bottom], axis=1),
    )


@dataclass(frozen=True, eq=False)
class _Field:
    """Levels (T, h, w), where they reach the threshold, and the region 1, 2, ... of each sample."""

    levels: NDArray[np.float32]
    mask: NDArray[np.bool_]
    labels: NDArray[np.int32]  # (T h w,), 0 for none
    threshold: float
    count: int

    @cached_property
    def first_samples(self) -> NDArray[np.int64]:
        """One sample of each region, as an index of `labels`."""
        samples = np.zeros(self.count + 1, np.int64)
        edges = self._edges(axis=2, at_start=True)
        samples[self.labels[edges]] = edges
        return samples[1:]

    def extent(self, *, axis: int, pixels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First pixel and end of each region along an axis of an image of `pixels` pixels."""
        length = self.levels.shape[axis]
        step = self.levels.shape[2] if axis == 1 else 1
        # in units of samples, whose centres are at 0.5, 1.5, ...
        first = np.full(self.count + 1, np.inf)
        last = np.full(self.count + 1, -np.inf)
        edges = self._edges(axis=axis, at_start=True)
        position = edges // step % length
        begins = np.where(position == 0, 0.0, position + 0.5 - self._reach(edges, -step))
        np.minimum.at(first, self.labels[edges], begins)
        edges = self._edges(axis=axis, at_start=False)
        position = edges // step % length
        ends = np.where(position == length - 1, length, position + 0.5 + self._reach(edges, step))
        np.maximum.at(last, self.labels[edges], ends)
        scale = pixels / length
        begin = np.ceil(first[1:] * scale - 0.5).clip(0, pixels - 1).astype(np.int64)
        end = np.floor(last[1:] * scale - 0.5).astype(np.int64) + 1
        return begin, np.maximum(end, begin + 1).clip(1, pixels)

    def _edges(self, *, axis: int, at_start: bool) -> NDArray[np.int64]:
        """Samples in a region whose neighbour before (or after) them is not, or is off the map."""
        edges = self.mask.copy()
        mask = self.mask.swapaxes(axis, 2)
        view = edges.swapaxes(axis, 2)
        if at_start:
            view[..., 1:] &= ~mask[..., :-1]
        else:
            view[..., :-1] &= ~mask[..., 1:]
        return np.flatnonzero(edges)

    def _reach(self, edges: NDArray[np.int64], step: int) -> NDArray[np.float64]:
        """How far each region reaches from a sample to its neighbour outside, in [0, 1).

        The value of a sample at the rim has no meaning.
        """
        levels = self.levels.ravel()
        inside = levels[edges].astype(np.float64)
        outside = levels[(edges + step).clip(0, levels.size - 1)].astype(np.float64)
        difference = inside - outside
        return (inside - self.threshold) / np.where(difference > 0, difference, 1.0)
