"""Explainability mIoU: the IoU of a map, binarized at a threshold, with the mask of its class.

Source: CLIP Surgery (arXiv 2304.05653). For each image and each class present in it, the map is
min-max scaled, binarized and compared with the mask of the class. The result is the mean over
images for each class, then the mean over classes. The paper searches for the threshold but does not
state over which data, so three results are reported: for the best single threshold of the data
set, for the best threshold of each map (oracle), and for 0.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean

STEPS = 100  # thresholds 0.00, 0.01 .. 0.99


class ExplainabilityIoU(SummedMetric):
    """Foreground IoU in percent under three rules for the threshold.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.by_threshold = ClassMean(len(names), STEPS)
        self.oracle = ClassMean(len(names))

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image."""
        for row, index in enumerate(evaluated.present):
            ious = iou_at_thresholds(evaluated.judged_heatmaps[row], evaluated.object_pixels[row])
            self.by_threshold.add(index, 100 * ious)
            self.oracle.add(index, 100 * ious.max())

    def compute(self) -> dict[str, float]:
        """Return the mIoU in percent.

        Returns:
            "mIoU best" at the best single threshold, "threshold" (that threshold in [0, 1]),
            "mIoU oracle" at the best threshold of each map, and "mIoU 0.5".
        """
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
    """Return the IoU of {values >= threshold} with the mask for all thresholds, (STEPS,).

    Args:
        values: (n,) float32 in [0, 1].
        inside: (n,) bool, the pixels of the mask.
    """
    bins = (values * STEPS).to(torch.uint8)  # rounds down, since values are not negative
    both = torch.bincount(bins * 2 + inside, minlength=2 * (STEPS + 1)).view(-1, 2)
    false, true = both.flip(0).cumsum(0).flip(0).unbind(dim=1)
    union = false + true[0]
    return (true.double() / union.clamp(min=1))[:STEPS]
