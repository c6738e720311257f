"""Presence AUROC: how well scores separate classes that are in an image from absent ones.

The area is taken over all pairs of image and class of the data set, for the highest patch score of
the map, for the image score and, if the explanation has reference words, for `presence`. Only
labels are needed, not masks. The area is exact for scores of half precision (see `score_counts`).
"""

from __future__ import annotations

import torch

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.score_counts import ScoreCounts, area_from_counts
from clip_surgery.tasks.presence import presence

SCORES = ("peak", "image", "rule")


class PresenceAuroc(SummedMetric):
    """Area under the ROC curve of present against absent classes, in percent.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.counts = ScoreCounts(2 * len(SCORES))  # group: 2 x score, + 1 if present

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. Classes of which it is not known whether they are present are left out."""
        explanation = evaluated.by_name
        scores = [evaluated.patch_scores.flatten(1).amax(dim=1), explanation.image_scores[0].cpu()]
        if explanation.reference_log_ratios is not None:
            scores.append(torch.logit(presence(explanation)[0].cpu()))
        present = torch.zeros(len(evaluated.names), dtype=torch.int64)
        present[evaluated.labelled] = 1
        groups = torch.cat([2 * kind + present[evaluated.decided] for kind in range(len(scores))])
        self.counts.add(groups, torch.cat([values[evaluated.decided] for values in scores]))

    def compute(self) -> dict[str, float]:
        """Return "presence AUROC SCORE" in percent for each score: peak, image and rule."""
        values = {}
        for kind, name in enumerate(SCORES):
            absent, present = self.counts.of(2 * kind), self.counts.of(2 * kind + 1)
            if absent.any() and present.any():
                values[f"presence AUROC {name}"] = 100 * area_from_counts(absent, present)
        return values
