"""Pointing game: is the hottest pixel of an object's map on the object?

Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop" (IJCV 2018). No
tolerance around the mask. Where several pixels share the maximum, the share of them that hits
counts, so a flat map scores what a blind guess would.
"""

from __future__ import annotations

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean


class Pointing(SummedMetric):
    """Hits in percent, mean over classes of images."""

    name = "pointing"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.hits = ClassMean(len(names))

    def update(self, case: Case) -> None:
        """Take one image in."""
        for row, index in enumerate(case.present):
            scores = case.raw_judged[row].numpy()
            there = case.truth.numpy()[scores == scores.max()]
            self.hits.add(index, 100 * float((there == index).mean()))

    def compute(self) -> dict[str, float]:
        """Pointing (%)."""
        means = self.hits.means()
        return {} if means is None else {"pointing": float(means[0])}
