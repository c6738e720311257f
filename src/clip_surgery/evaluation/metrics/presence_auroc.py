"""Presence AUROC: does the score of a present text exceed that of an absent one?

Over all (picture, text) pairs of the data set, with two scores: the map's highest patch, and the
image score; for explanations made with a vocabulary, also with `presence`. Scores are counted in
65,536 ordered bins, one for each half-precision number, so the area is exact for scores of that
precision and memory does not grow with the data set.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from clip_surgery.evaluation.case import Case
from clip_surgery.tasks.presence import presence

BINS = 2**16


class PresenceAuroc:
    """Area in percent under the ROC curve of present against absent texts."""

    name = "presence"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.counts = {
            score: torch.zeros(2, BINS, dtype=torch.int64) for score in ("peak", "image", "rule")
        }

    def update(self, case: Case) -> None:
        """Take one picture in."""
        scores = {
            "peak": case.explanation.patch_scores[0].flatten(1).amax(dim=1),
            "image": case.explanation.image_scores[0],
        }
        if case.explanation.standing is not None:
            scores["rule"] = torch.logit(presence(case.explanation)[0])
        for name, counts in self.counts.items():
            if name not in scores:
                continue
            for row, indices in enumerate((case.absent, case.present)):
                counts[row] += torch.bincount(half_bins(scores[name][indices]), minlength=BINS)

    def merge(self, other: Self) -> None:
        """Add another part."""
        for name in self.counts:
            self.counts[name] += other.counts[name]

    def compute(self) -> dict[str, float]:
        """AUROC (%) of the peak score, of the image score, and of the rule for presence."""
        return {
            f"presence AUROC {name}": 100 * area_from_counts(counts[0], counts[1])
            for name, counts in self.counts.items()
            if bool(counts.any(dim=1).all())
        }


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
