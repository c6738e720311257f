"""Presence AUROC: does the score of a present text exceed that of an absent one?

Over all (image, text) pairs of the data set, with two scores: the map's highest patch, and the
image score; for explanations made with a vocabulary, also with `presence`. Labels are enough, no
mask is read. The area is exact for scores of half precision (see `score_counts`).
"""

from __future__ import annotations

import torch

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.score_counts import ScoreCounts, area_from_counts
from clip_surgery.tasks.presence import presence

SCORES = ("peak", "image", "rule")


class PresenceAuroc(SummedMetric):
    """Area in percent under the ROC curve of present against absent texts."""

    name = "presence"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.counts = ScoreCounts(2 * len(SCORES))  # group: 2 x score, + 1 where present

    def update(self, case: Case) -> None:
        """Take one image in; unsure names are left out."""
        explanation = case.by_name
        scores = [case.patch_scores.flatten(1).amax(dim=1), explanation.image_scores[0].cpu()]
        if explanation.reference_log_ratios is not None:
            scores.append(torch.logit(presence(explanation)[0].cpu()))
        present = torch.zeros(len(case.names), dtype=torch.int64)
        present[case.labelled] = 1
        groups = torch.cat([2 * kind + present[case.decided] for kind in range(len(scores))])
        self.counts.add(groups, torch.cat([own[case.decided] for own in scores]))

    def compute(self) -> dict[str, float]:
        """AUROC (%) of the peak score, of the image score, and of the rule for presence."""
        values = {}
        for kind, name in enumerate(SCORES):
            absent, present = self.counts.of(2 * kind), self.counts.of(2 * kind + 1)
            if absent.any() and present.any():
                values[f"presence AUROC {name}"] = 100 * area_from_counts(absent, present)
        return values
