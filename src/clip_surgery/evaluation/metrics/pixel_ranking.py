"""Pixel AP and AUC: how well a map ranks an object's pixels before the others; no threshold."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor

from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.metrics.metric import ClassMean


class PixelRanking:
    """Average precision and ROC area over pixels, in percent, mean over classes of pictures."""

    name = "pixel ranking"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.values = ClassMean(len(names), 2)

    def update(self, case: Case) -> None:
        """Take one picture in; an object that fills the picture ranks nothing and is skipped."""
        for row, index in enumerate(case.present):
            inside = case.inside(index)
            if not inside.all():
                scores = case.raw[row][case.judged]
                self.values.add(index, 100 * torch.stack(ap_and_auc(scores, inside)))

    def merge(self, other: Self) -> None:
        """Add another part."""
        self.values.merge(other.values)

    def compute(self) -> dict[str, float]:
        """Pixel AP (%) and pixel AUC (%)."""
        means = self.values.means()
        return {} if means is None else {"AP": float(means[0]), "AUC": float(means[1])}


def ap_and_auc(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision and ROC area of scores (n,) for bool labels (n,); ties count as one cut.

    Both labels must occur. float64 scalars in [0, 1].
    """
    order = scores.argsort(descending=True)
    ranked, hits = scores[order], positive[order].double()
    true = hits.cumsum(0)
    last = torch.ones_like(hits, dtype=torch.bool)
    last[:-1] = ranked[1:] != ranked[:-1]
    count = torch.arange(1, len(hits) + 1, dtype=torch.float64)
    true, count = true[last], count[last]
    zero = torch.zeros(1, dtype=torch.float64)
    steps = torch.diff(true, prepend=zero)
    precision = (steps * true / count).sum() / true[-1]
    # area under the ROC polygon: trapezoids between neighbouring cuts
    false_steps = torch.diff(count - true, prepend=zero)
    area = (false_steps * (true - steps / 2)).sum() / (true[-1] * (count[-1] - true[-1]))
    return precision, area
