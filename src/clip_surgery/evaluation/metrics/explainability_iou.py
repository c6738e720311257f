"""Explainability mIoU: an object's map, cut at a threshold, against its mask.

Source: CLIP Surgery (arXiv 2304.05653). For each picture and each label PRESENT in it the map is
min-maxed, binarised and compared with the label's mask; mean over classes of the mean over
pictures. The paper searches the threshold without saying over what, so three are reported: the
best single threshold of the data set, the best per map (oracle), and 0.5.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.metrics.metric import ClassMean

STEPS = 100  # thresholds 0.00, 0.01 .. 0.99


class ExplainabilityIoU:
    """Foreground IoU in percent under three threshold rules."""

    name = "explainability IoU"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.by_threshold = ClassMean(len(names), STEPS)
        self.oracle = ClassMean(len(names))

    def update(self, case: Case) -> None:
        """Take one picture in."""
        for row, index in enumerate(case.present):
            values = case.scaled[row][case.judged]
            ious = iou_at_thresholds(values, case.inside(index))
            self.by_threshold.add(index, 100 * ious)
            self.oracle.add(index, 100 * ious.max())

    def merge(self, other: Self) -> None:
        """Add another part."""
        self.by_threshold.merge(other.by_threshold)
        self.oracle.merge(other.oracle)

    def compute(self) -> dict[str, float]:
        """mIoU (%) at the best one threshold, that threshold, at 0.5, and per-map best."""
        means, oracle = self.by_threshold.means(), self.oracle.means()
        if means is None or oracle is None:
            return {}
        best = int(means.argmax())
        return {
            "mIoU best": float(means[best]),
            "threshold": best / STEPS,
            "mIoU oracle": float(oracle[0]),
            "mIoU 0.5": float(means[STEPS // 2]),
        }


def iou_at_thresholds(values: Tensor, inside: Tensor) -> Tensor:
    """IoU (STEPS,) of {value >= t} with the mask, for all thresholds from two histograms.

    `values` (n,) in [0, 1], `inside` (n,) bool.
    """
    bins = (values.double() * STEPS).floor().long().clamp(0, STEPS)
    true = torch.bincount(bins[inside], minlength=STEPS + 1).flip(0).cumsum(0).flip(0)
    false = torch.bincount(bins[~inside], minlength=STEPS + 1).flip(0).cumsum(0).flip(0)
    union = false + inside.sum()
    return (true.double() / union.clamp(min=1))[:STEPS]
