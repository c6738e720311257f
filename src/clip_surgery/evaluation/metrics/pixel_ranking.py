"""Pixel AP and AUC: how well a map ranks an object's pixels before the others; no threshold."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean


class PixelRanking(SummedMetric):
    """Average precision and ROC area over pixels, in percent, mean over classes of images."""

    name = "pixel ranking"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.values = ClassMean(len(names), 2)

    def update(self, case: Case) -> None:
        """Take one image in; an object that fills the image ranks nothing and is skipped."""
        for row, index in enumerate(case.present):
            inside = case.insides[row]
            if not inside.all():
                found = ap_and_auc(case.raw_judged[row], inside)
                self.values.add(index, 100 * torch.tensor(found, dtype=torch.float64))

    def compute(self) -> dict[str, float]:
        """Pixel AP (%) and pixel AUC (%)."""
        means = self.values.means()
        return {} if means is None else {"AP": float(means[0]), "AUC": float(means[1])}


def ap_and_auc(scores: Tensor, positive: Tensor) -> tuple[float, float]:
    """Average precision and ROC area of scores (n,) for bool labels (n,); ties count as one cut.

    Both labels must occur. Both are in [0, 1].
    """
    # sorting both apart and looking up the positives takes a fifth of the time of sorting pairs
    values, chosen = scores.numpy(), positive.numpy()
    true, false = np.sort(values[chosen]), np.sort(values[~chosen])
    below = np.arange(len(true))  # how many positives lie below each: those that tie do not
    below[1:][true[1:] == true[:-1]] = 0
    not_below = len(true) - np.maximum.accumulate(below)
    false_below = np.searchsorted(false, true, side="left")
    false_up_to = false_below.copy()
    ties = false[np.minimum(false_below, len(false) - 1)] == true
    false_up_to[ties] = np.searchsorted(false, true[ties], side="right")
    # precision at the cut that takes each positive in, with all that tie with it
    precision = not_below / (not_below + len(false) - false_below)
    wins = (false_below + false_up_to).sum() / 2
    return float(precision.mean()), float(wins / (len(true) * len(false)))
