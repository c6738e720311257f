"""Score counts: how often each score came, so that rankings of a whole data set can be judged.

Scores fall into 65,536 ordered bins, one for each half-precision number. Areas and precisions
read from them are exact for scores of that precision, and memory is bounded whatever the length
of the data set: only bins that occur are kept, 16 bytes each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.sums import Sums, check_shape

BINS = 2**16
_WAITING = 2**17  # keys that are gathered before they are counted


class ScoreCounts(Sums):
    """For each of several groups, how often each half-precision score came."""

    def __init__(self, groups: int) -> None:
        self.groups = groups
        self._keys = torch.zeros(0, dtype=torch.int64)  # group * BINS + bin, sorted
        self._counts = torch.zeros(0, dtype=torch.int64)
        self._waiting: list[Tensor] = []
        self._waits = 0

    def add(self, groups: Tensor, scores: Tensor) -> None:
        """Count scores (n,), each in its group (n,).

        Raises:
            InputError: when a score is NaN; infinite ones count as the largest half there is.
        """
        if scores.isnan().any():
            raise InputError("Expected scores that are numbers, but some are NaN.")
        self._waiting.append(groups * BINS + half_bins(scores))
        self._waits += len(scores)
        # more room the more there is: counting n scores stays n log n in all
        if self._waits > max(_WAITING, len(self._keys)):
            self._settle()

    def of(self, group: int) -> Tensor:
        """The counts of a group's bins, lowest score first: (65536,) int64."""
        self._settle()
        low, high = torch.searchsorted(
            self._keys, torch.tensor([group * BINS, (group + 1) * BINS])
        ).tolist()
        counts = torch.zeros(BINS, dtype=torch.int64)
        counts[self._keys[low:high] - group * BINS] = self._counts[low:high]
        return counts

    def merge(self, other: Self) -> None:
        """Add another part's counts."""
        other._settle()
        self._settle(other._keys, other._counts)

    def state(self) -> dict[str, Tensor]:
        """The bins that occur, with their counts."""
        self._settle()
        return {
            "shape": torch.tensor([self.groups, BINS]),
            "where": self._keys,
            "counts": self._counts,
        }

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Become what `state` said."""
        check_shape(state["shape"], (self.groups, BINS))
        where = state["where"]
        if len(where) and not 0 <= int(where.min()) <= int(where.max()) < self.groups * BINS:
            raise IndexError(f"bins beyond {self.groups} x {BINS}")
        self._keys, self._counts = state["where"].clone(), state["counts"].clone()
        self._waiting, self._waits = [], 0

    def _settle(self, *more: Tensor) -> None:
        """Count what waits, and add `more`: keys and their counts."""
        if not self._waiting and not more:
            return
        waiting = torch.cat([torch.zeros(0, dtype=torch.int64), *self._waiting])
        keys = [self._keys, waiting, *more[:1]]
        counts = [self._counts, torch.ones_like(waiting), *more[1:]]
        self._keys, places = torch.unique(torch.cat(keys), return_inverse=True)
        self._counts = torch.zeros_like(self._keys).index_add_(0, places, torch.cat(counts))
        self._waiting, self._waits = [], 0


def half_bins(scores: Tensor) -> Tensor:
    """Ordered integers in [0, 65536) of scores rounded to half precision."""
    bits = (scores.clamp(-65504, 65504) + 0.0).half().view(torch.int16).long()
    # negative floats sort backwards by their bits; -0 joins +0
    return torch.where(bits >= 0, bits + BINS // 2, BINS // 2 - (bits & 0x7FFF))


def area_from_counts(negative: Tensor, positive: Tensor) -> float:
    """ROC area from counts per ordered score bin; pairs in one bin count half."""
    below = negative.cumsum(0) - negative
    pairs = (positive * (below + negative / 2)).double().sum()
    return float(pairs / (positive.sum().double() * negative.sum().double()))


def precision_from_counts(negative: Tensor, positive: Tensor) -> float:
    """Average precision from counts per ordered score bin; a bin is one cut.

    At least one positive must have been counted.
    """
    true = positive.flip(0).cumsum(0)
    total = true + negative.flip(0).cumsum(0)
    precision = true.double() / total.clamp(min=1)
    return float((positive.flip(0) * precision).sum() / true[-1])
