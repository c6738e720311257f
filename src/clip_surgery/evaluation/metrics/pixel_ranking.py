"""Pixel AP and AUC: how well a map ranks the pixels of an object above all others.

No threshold is needed.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean


class PixelRanking(SummedMetric):
    """Average precision and ROC area over pixels, in percent.

    The mean over images is taken for each class, then the mean over classes.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.values = ClassMean(len(names), 2)

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. A class that fills the image has no negative pixels and is skipped."""
        for row, index in enumerate(evaluated.present):
            inside = evaluated.object_pixels[row]
            if not inside.all():
                ap_auc = ap_and_auc(evaluated.judged_maps[row], inside)
                self.values.add(index, 100 * torch.tensor(ap_auc, dtype=torch.float64))

    def compute(self) -> dict[str, float]:
        """Return "AP" and "AUC" in percent."""
        means = self.values.means()
        return {} if means is None else {"AP": float(means[0]), "AUC": float(means[1])}


def ap_and_auc(scores: Tensor, positive: Tensor) -> tuple[float, float]:
    """Return average precision and ROC area, both in [0, 1].

    Args:
        scores: (n,) scores. Equal scores are separated by no threshold.
        positive: (n,) bool, with at least one positive and one negative.
    """
    # Sorting positives and negatives apart takes a fifth of the time of sorting them together.
    values, chosen = scores.numpy(), positive.numpy()
    true, false = np.sort(values[chosen]), np.sort(values[~chosen])
    below = np.arange(len(true))  # number of positives with a smaller score than each
    below[1:][true[1:] == true[:-1]] = 0
    not_below = len(true) - np.maximum.accumulate(below)
    false_below = np.searchsorted(false, true, side="left")
    false_up_to = false_below.copy()
    ties = false[np.minimum(false_below, len(false) - 1)] == true
    false_up_to[ties] = np.searchsorted(false, true[ties], side="right")
    # precision at the threshold equal to the score of each positive
    precision = not_below / (not_below + len(false) - false_below)
    wins = (false_below + false_up_to).sum() / 2
    return float(precision.mean()), float(wins / (len(true) * len(false)))
