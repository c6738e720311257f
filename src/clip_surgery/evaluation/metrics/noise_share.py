"""Noise share: overlap of the highest patches of a present class with those of absent classes.

CLIP Surgery (arXiv 2304.05653) observes noisy activations: the same patches have high scores for
every text. This metric measures it. For each present class, it is the share of its top 10 % of
patches that are also in the top 10 % of an absent class, averaged over the absent classes. Random
maps give 10 %.
"""

from __future__ import annotations

import torch

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean

TOP = 0.1  # share of the patches


class NoiseShare(SummedMetric):
    """Overlap with the maps of absent classes in percent; lower is better.

    The mean over images is taken for each class, then the mean over classes.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.share = ClassMean(len(names))

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. Only its labels are needed, not its mask.

        An image that contains every class has no absent class and is skipped.
        """
        if not evaluated.absent or not evaluated.labelled:
            return
        scores = evaluated.patch_scores.flatten(1)  # (C, P)
        count = max(1, round(TOP * scores.shape[1]))
        top = torch.zeros_like(scores).scatter_(1, scores.topk(count, dim=1).indices, 1.0)
        overlap = top[evaluated.labelled] @ top[evaluated.absent].T / count  # (present, absent)
        for row, index in enumerate(evaluated.labelled):
            self.share.add(index, 100 * float(overlap[row].mean()))

    def compute(self) -> dict[str, float]:
        """Return "noise share" in percent."""
        means = self.share.means()
        return {} if means is None else {"noise share": float(means[0])}
