"""Pointing game: whether the highest pixel of a map is on the object.

Source: Zhang et al., "Top-down Neural Attention by Excitation Backprop" (IJCV 2018). There is no
tolerance around the mask. If several pixels share the maximum, the share of them on the object
counts, so that a flat map scores the same as a random guess.
"""

from __future__ import annotations

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean


class Pointing(SummedMetric):
    """Hits in percent: the mean over images for each class, then the mean over classes.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.hits = ClassMean(len(names))

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image."""
        for row, index in enumerate(evaluated.present):
            scores = evaluated.judged_maps[row].numpy()
            classes_at_maximum = evaluated.true_indices.numpy()[scores == scores.max()]
            self.hits.add(index, 100 * float((classes_at_maximum == index).mean()))

    def compute(self) -> dict[str, float]:
        """Return "pointing" in percent."""
        means = self.hits.means()
        return {} if means is None else {"pointing": float(means[0])}
