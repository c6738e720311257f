"""Histograms of scores, from which ROC areas and average precisions of a data set are computed.

There are 65,536 ordered bins, one for each half-precision number. The results are exact for scores
of that precision. Memory is bounded whatever the length of the data set: only bins that occur are
kept, with 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.sums import Sums, check_shape

BINS = 2**16
_PENDING = 2**17  # number of scores that are collected before they are counted


class ScoreCounts(Sums):
    """For each of several groups, the number of times that each half-precision score occurred.

    Args:
        groups: number of groups.
    """

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self._keys = torch.zeros(0, dtype=torch.int64)  # group * BINS + bin, sorted
        self._counts = torch.zeros(0, dtype=torch.int64)
        self._pending: list[Tensor] = []
        self._pending_count = 0

    def add(self, groups: Tensor, scores: Tensor) -> None:
        """Count scores. Infinite scores count as the largest finite half-precision numbers.

        Args:
            groups: (n,) int64, the group of each score.
            scores: (n,) scores.

        Raises:
            InputError: if a score is NaN.
        """
        if scores.isnan().any():
            raise InputError("Expected scores that are numbers, but some are NaN.")
        self._pending.append(groups * BINS + half_bins(scores))
        self._pending_count += len(scores)
        # The limit grows with the number of bins, so that counting n scores takes n log n in all.
        if self._pending_count > max(_PENDING, len(self._keys)):
            self._count_pending()

    def of(self, group: int) -> Tensor:
        """Return the counts of a group, lowest score first: (65536,) int64."""
        self._count_pending()
        low, high = torch.searchsorted(
            self._keys, torch.tensor([group * BINS, (group + 1) * BINS])
        ).tolist()
        counts = torch.zeros(BINS, dtype=torch.int64)
        counts[self._keys[low:high] - group * BINS] = self._counts[low:high]
        return counts

    def merge(self, other: Self) -> None:
        """Add the counts of other images."""
        other._count_pending()
        self._count_pending(other._keys, other._counts)

    def state(self) -> dict[str, Tensor]:
        """Return the bins that occur, with their counts."""
        self._count_pending()
        return {
            "shape": torch.tensor([self.groups, BINS]),
            "where": self._keys,
            "counts": self._counts,
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Replace the counts by those of a state.

        Raises:
            InputError: if the state is of another number of groups.
            IndexError: if a bin is out of range.
        """
        check_shape(state["shape"], (self.groups, BINS))
        where = state["where"]
        if len(where) and not 0 <= int(where.min()) <= int(where.max()) < self.groups * BINS:
            raise IndexError(f"bins beyond {self.groups} x {BINS}")
        self._keys, self._counts = state["where"].clone(), state["counts"].clone()
        self._pending, self._pending_count = [], 0

    def _count_pending(self, *more: Tensor) -> None:
        """Count the pending scores, and add `more`: keys and their counts."""
        if not self._pending and not more:
            return
        pending = torch.cat([torch.zeros(0, dtype=torch.int64), *self._pending])
        keys = [self._keys, pending, *more[:1]]
        counts = [self._counts, torch.ones_like(pending), *more[1:]]
        self._keys, positions = torch.unique(torch.cat(keys), return_inverse=True)
        self._counts = torch.zeros_like(self._keys).index_add_(0, positions, torch.cat(counts))
        self._pending, self._pending_count = [], 0


def half_bins(scores: Tensor) -> Tensor:
    """Round scores to half precision and return their bins, ordered integers in [0, 65536)."""
    bits = (scores.clamp(-65504, 65504) + 0.0).half().view(torch.int16).long()
    # The bits of negative floats sort in reverse order. -0 falls into the bin of +0.
    return torch.where(bits >= 0, bits + BINS // 2, BINS // 2 - (bits & 0x7FFF))


def area_from_counts(negative: Tensor, positive: Tensor) -> float:
    """Return the ROC area in [0, 1]. Pairs of a negative and a positive in one bin count half.

    Args:
        negative: counts of the negatives in ordered bins.
        positive: counts of the positives in the same bins.
    """
    below = negative.cumsum(0) - negative
    pairs = (positive * (below + negative / 2)).double().sum()
    return float(pairs / (positive.sum().double() * negative.sum().double()))


def precision_from_counts(negative: Tensor, positive: Tensor) -> float:
    """Return the average precision in [0, 1]. Each bin is one threshold.

    Args:
        negative: counts of the negatives in ordered bins.
        positive: counts of the positives in the same bins, at least one in all.
    """
    true = positive.flip(0).cumsum(0)
    total = true + negative.flip(0).cumsum(0)
    precision = true.double() / total.clamp(min=1)
    return float((positive.flip(0) * precision).sum() / true[-1])
