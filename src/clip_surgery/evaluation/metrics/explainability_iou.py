"""Explainability mIoU: an object's map, cut at a threshold, against its mask.

Source: CLIP Surgery (arXiv 2304.05653). For each image and each label PRESENT in it the map is
min-maxed, binarised and compared with the label's mask; mean over classes of the mean over
images. The paper searches the threshold without saying over what, so three are reported: the
best single threshold of the data set, the best per map (oracle), and 0.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean

STEPS = 100  # thresholds 0.00, 0.01 .. 0.99


class ExplainabilityIoU(SummedMetric):
    """Foreground IoU in percent under three threshold rules."""

    name = "explainability IoU"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.by_threshold = ClassMean(len(names), STEPS)
        self.oracle = ClassMean(len(names))

    def update(self, case: Case) -> None:
        """Take one image in."""
        for row, index in enumerate(case.present):
            ious = iou_at_thresholds(case.scaled_judged[row], case.insides[row])
            self.by_threshold.add(index, 100 * ious)
            self.oracle.add(index, 100 * ious.max())

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

    `values` (n,) float32 in [0, 1], `inside` (n,) bool.
    """
    bins = (values * STEPS).to(torch.uint8)  # towards zero, which is down
    both = torch.bincount(bins * 2 + inside, minlength=2 * (STEPS + 1)).view(-1, 2)
    false, true = both.flip(0).cumsum(0).flip(0).unbind(dim=1)
    union = false + true[0]
    return (true.double() / union.clamp(min=1))[:STEPS]
