"""Noise share: how much of a map's hottest part the maps of absent texts share with it.

The paper's second finding (noisy activations: the same spots light up for every text) as a
number: for each present text, the share of its top 10 % patches that an absent text's map has in
its own top 10 %, mean over absent texts. By chance it is 10 %.
"""

from __future__ import annotations

import torch

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean

TOP = 0.1


class NoiseShare(SummedMetric):
    """Overlap with absent texts' maps in percent, mean over classes of images."""

    name = "noise share"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.share = ClassMean(len(names))

    def update(self, case: Case) -> None:
        """Take one image in; labels alone are enough, no mask is read.

        An image that holds every name has no absent text and is skipped.
        """
        if not case.absent or not case.labelled:
            return
        scores = case.patch_scores.flatten(1)  # (C, P)
        count = max(1, round(TOP * scores.shape[1]))
        top = torch.zeros_like(scores).scatter_(1, scores.topk(count, dim=1).indices, 1.0)
        overlap = top[case.labelled] @ top[case.absent].T / count  # (present, absent)
        for row, index in enumerate(case.labelled):
            self.share.add(index, 100 * float(overlap[row].mean()))

    def compute(self) -> dict[str, float]:
        """Noise share (%)."""
        means = self.share.means()
        return {} if means is None else {"noise share": float(means[0])}
