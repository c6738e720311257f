"""Point rules: which cells of a map become points on the object, and which points off it.

"reference" is the rule CLIP Surgery was published with (arXiv 2304.05653): on a map of half the
resolution, as many of the highest cells as reach 0.8 are positive, as many of the lowest negative.
"peaks" gives few instead: local maxima kept apart, and low cells spread over the image.

Rules work on N maps at once. Their loops are over points (a few), never over maps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.surgery.min_max import is_flat, rescale


class ChosenCells(NamedTuple):
    """Cells chosen in each of N maps, best first.

    Attributes:
        indices: (N, k) int64, counted row by row in a map; only the first `counts` of a map count.
        counts: (N,) int64, number of cells chosen in each map.
    """

    indices: Tensor
    counts: Tensor


class Cells(NamedTuple):
    """Cells on the object and off it."""

    positive: ChosenCells
    negative: ChosenCells


class PointRule(Protocol):
    """Settings that choose cells of maps."""

    @property
    def halving(self) -> bool:
        """Whether maps come at half the resolution of the patches."""
        ...

    def choose(self, levels: Tensor, inside: Tensor) -> Cells:
        """Choose cells of N maps.

        Args:
            levels: (N, rows, columns), min-maxed to [0, 1] over the cells that show the image.
            inside: (N, rows, columns) bool, the cells that show the image; only these are chosen.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class ReferencePoints:
    """The published rule: n highest and n lowest cells, n = those of at least `threshold`.

    n is at most half of the cells.

    Raises:
        InputError: if threshold is not above 0 and at most 1.
    """

    threshold: float = 0.8

    halving = True

    def __post_init__(self) -> None:
        _check_level("threshold", self.threshold)

    def choose(self, levels: Tensor, inside: Tensor) -> Cells:
        """n positives from the highest down, n negatives from the lowest up."""
        seen = inside.flatten(1)
        values = levels.flatten(1).masked_fill(~seen, float("-inf"))
        cell_counts = seen.sum(dim=1)
        counts = torch.minimum((values >= self.threshold).sum(dim=1), cell_counts // 2)
        most = int(counts.max()) if len(counts) else 0
        order = values.argsort(dim=1, descending=True, stable=True)  # cells of a margin come last
        from_lowest = cell_counts[:, None] - 1 - torch.arange(most, device=levels.device)
        negative = order.gather(1, from_lowest.clamp(min=0))
        return Cells(ChosenCells(order[:, :most], counts), ChosenCells(negative, counts))


@dataclass(frozen=True, kw_only=True)
class PeakPoints:
    """A few local maxima, kept apart, and a few low cells spread over the image.

    Attributes:
        positives: maximum number of maxima for each text.
        negatives: maximum number of low cells.
        smoothing: radius in patches of the square over which maps are averaged first: a single hot
            patch is noise more often than an object, and points near a border miss. 0 for none.
        threshold: minimum level of a positive in its min-maxed map.
        highest_negative: maximum level of a negative.
        spacing: minimum distance of two positives, in patches.

    Raises:
        InputError: if a threshold is not above 0 and at most 1, a count or smoothing is negative,
            or spacing is below 1.
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

    def choose(self, levels: Tensor, inside: Tensor) -> Cells:
        """Maxima from the highest down, each far enough from those before; then low cells."""
        levels = _smooth(levels, inside, self.smoothing)
        seen = levels.masked_fill(~inside, float("-inf"))
        around = F.max_pool2d(seen[:, None], kernel_size=3, stride=1, padding=1)[:, 0]
        maxima = inside & (seen == around) & (levels >= self.threshold)
        return Cells(
            _highest_apart(levels, maxima, count=self.positives, spacing=self.spacing),
            _spread(levels, inside & (levels <= self.highest_negative), self.negatives),
        )


def _highest_apart(
    levels: Tensor, candidates: Tensor, *, count: int, spacing: float
) -> ChosenCells:
    """The highest candidates of each map, each at least `spacing` from those before it."""
    left = levels.masked_fill(~candidates, float("-inf")).flatten(1)
    rows = torch.arange(len(left), device=left.device)
    chosen: list[Tensor] = []
    counts = torch.zeros(len(left), dtype=torch.int64, device=left.device)
    for _ in range(min(count, left.shape[1])):
        highest, cells = left.max(dim=1)
        exists = highest > float("-inf")
        if not bool(exists.any()):
            break
        chosen.append(cells)
        counts += exists
        too_near = _distances(cells, levels.shape[-2:]) < spacing
        left = left.masked_fill(too_near, float("-inf"))
        left[rows, cells] = float("-inf")
    return ChosenCells(_columns(chosen, counts), counts)


def _spread(levels: Tensor, candidates: Tensor, count: int) -> ChosenCells:
    """Cells far from each other: the lowest first, then always the farthest from those chosen."""
    allowed = candidates.flatten(1)
    counts = allowed.sum(dim=1).clamp(max=count)
    most = int(counts.max()) if len(counts) else 0
    if not most:
        return ChosenCells(_columns([], counts), counts)
    cells = levels.flatten(1).masked_fill(~allowed, float("inf")).argmin(dim=1)
    chosen = [cells]
    nearest = _distances(cells, levels.shape[-2:]).masked_fill(~allowed, float("-inf"))
    for _ in range(most - 1):
        cells = nearest.argmax(dim=1)
        chosen.append(cells)
        nearest = nearest.minimum(_distances(cells, levels.shape[-2:]))
    return ChosenCells(_columns(chosen, counts), counts)


def _columns(chosen: list[Tensor], counts: Tensor) -> Tensor:
    """Chosen cells (N,) one after the other as (N, k)."""
    if not chosen:
        return counts.new_zeros(len(counts), 0)
    return torch.stack(chosen, dim=1)


def _distances(cells: Tensor, shape: torch.Size) -> Tensor:
    """Distance (N, cells of a map) of every cell to one cell of each map, in patches."""
    rows, columns = shape
    y = torch.arange(rows, device=cells.device) - (cells // columns)[:, None]
    x = torch.arange(columns, device=cells.device) - (cells % columns)[:, None]
    squares = (y * y)[:, :, None] + (x * x)[:, None]
    return squares.flatten(1).to(torch.float32).sqrt_()


def _smooth(levels: Tensor, inside: Tensor, radius: int) -> Tensor:
    """Mean over a square of cells that show the image, min-maxed again."""
    if radius == 0:
        return levels
    both = torch.stack([levels * inside, inside.to(levels.dtype)], dim=1)
    sums = F.avg_pool2d(both, 2 * radius + 1, stride=1, padding=radius)
    smooth = sums[:, 0] / sums[:, 1].clamp(min=1e-6)
    low = smooth.masked_fill(~inside, float("inf")).amin((1, 2), keepdim=True)
    high = smooth.masked_fill(~inside, float("-inf")).amax((1, 2), keepdim=True)
    return torch.where(is_flat(low, high), levels, rescale(smooth, low, high))


def _check_level(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise InputError(f"Expected {name} to be above 0 and at most 1, but got {value}.")
