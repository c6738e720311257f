"""Point rules: which cells of a map become clicks on the object, and which clicks off it.

"reference" is the rule CLIP Surgery was published with (arXiv 2304.05653): on a map of half the
resolution, as many of the highest cells as reach 0.8 are positive, as many of the lowest negative.
"peaks" gives few instead: local maxima kept apart, and low cells spread over the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.surgery.min_max import is_flat, rescale


class Cells(NamedTuple):
    """Indices (n,) of cells, row by row, on the object (best first) and off it."""

    positive: Tensor
    negative: Tensor


class PointRule(Protocol):
    """Settings that choose cells of maps."""

    @property
    def halving(self) -> bool:
        """Whether maps come at half the resolution of the patches."""
        ...

    def choose(self, level: Tensor, inside: Tensor) -> Cells:
        """Cells of one map (rows, columns) with levels in [0, 1], among those `inside` (bool)."""
        ...


@dataclass(frozen=True, kw_only=True)
class ReferencePoints:
    """The published rule: n highest and n lowest cells, n = those of at least `threshold`.

    n is at most half of the cells.

    Raises:
        InputError: when threshold is not above 0 to 1.
    """

    threshold: float = 0.8

    halving = True

    def __post_init__(self) -> None:
        _check_level("threshold", self.threshold)

    def choose(self, level: Tensor, inside: Tensor) -> Cells:
        """n positives from the highest down, n negatives from the lowest up."""
        cells = inside.flatten().nonzero()[:, 0]
        order = cells[level.flatten()[cells].argsort(descending=True, stable=True)]
        count = min(int((level[inside] >= self.threshold).sum()), len(cells) // 2)
        return Cells(order[:count], order.flip(0)[:count])


@dataclass(frozen=True, kw_only=True)
class PeakPoints:
    """A few local maxima, kept apart, and a few low cells spread over the image.

    Attributes:
        positives: how many maxima a text gives at most.
        negatives: how many low cells there are at most.
        smoothing: maps are first averaged over this many patches to each side: a single hot
            patch is noise more often than an object, and clicks near a border miss. 0 leaves it.
        threshold: how high in its min-maxed map a positive lies at least.
        highest_negative: how high a negative lies at most.
        spacing: how far apart two positives lie at least, in patches.

    Raises:
        InputError: when a threshold is not above 0 to 1, a count or smoothing is negative, or
            spacing is not 1 or more.
    """

    positives: int = 3
    negatives: int = 3
    smoothing: int = 1
    threshold: float = 0.9
    highest_negative: float = 0.3
    spacing: float = 2.0

    halving = False

    def __post_init__(self) -> None:
        _check_level("threshold", self.threshold)
        _check_level("highest_negative", self.highest_negative)
        for name in ("positives", "negatives", "smoothing"):
            if getattr(self, name) < 0:
                raise InputError(f"Expected {name} of 0 or more, but got {getattr(self, name)}.")
        if not self.spacing >= 1:
            raise InputError(f"Expected spacing of 1 patch or more, but got {self.spacing}.")

    def choose(self, level: Tensor, inside: Tensor) -> Cells:
        """Maxima from the highest down, each far enough from those before; then low cells."""
        place = torch.cartesian_prod(*(torch.arange(side) for side in level.shape)).float()
        place = place.view(-1, 2)
        level = _smooth(level, inside, self.smoothing)
        seen = level.masked_fill(~inside, float("-inf"))
        around = F.max_pool2d(seen[None, None], kernel_size=3, stride=1, padding=1)[0, 0]
        peaks = inside & (seen == around) & (level >= self.threshold)
        ranked = seen.flatten().argsort(descending=True, stable=True)
        positive: list[int] = []
        for cell in ranked[peaks.flatten()[ranked]].tolist():
            if len(positive) == self.positives:
                break
            if _nearest(place, cell, positive) >= self.spacing:
                positive.append(cell)
        low = (inside & (level <= self.highest_negative)).flatten().nonzero()[:, 0]
        negative = _spread(place, low, level.flatten(), self.negatives)
        return Cells(torch.tensor(positive, dtype=torch.int64), negative)


def _spread(place: Tensor, candidates: Tensor, level: Tensor, count: int) -> Tensor:
    """Cells far from each other: the lowest first, then always the farthest from those chosen."""
    if not len(candidates) or not count:
        return candidates[:0]
    first = int(level[candidates].argmin())
    chosen = [first]
    distance = (place[candidates] - place[candidates[first]]).norm(dim=1)
    while len(chosen) < min(count, len(candidates)):
        farthest = int(distance.argmax())
        chosen.append(farthest)
        distance = distance.minimum((place[candidates] - place[candidates[farthest]]).norm(dim=1))
    return candidates[torch.tensor(chosen)]


def _smooth(level: Tensor, inside: Tensor, radius: int) -> Tensor:
    """Mean over a square of patches that show the image, min-maxed again."""
    if radius == 0:
        return level
    both = torch.stack([level * inside, inside.to(level.dtype)])[:, None]
    sums = F.avg_pool2d(both, 2 * radius + 1, stride=1, padding=radius)[:, 0]
    smooth = sums[0] / sums[1].clamp(min=1e-6)
    low, high = smooth[inside].min(), smooth[inside].max()
    return level if is_flat(low, high) else rescale(smooth, low, high)


def _nearest(place: Tensor, cell: int, others: list[int]) -> float:
    """Distance of a cell to the nearest of the others, infinite when there is none."""
    if not others:
        return float("inf")
    return float((place[others] - place[cell]).norm(dim=1).min())


def _check_level(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise InputError(f"Expected {name} to be above 0 and at most 1, but got {value}.")
