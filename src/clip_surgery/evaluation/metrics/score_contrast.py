"""Mean score contrast (mSC): the difference of a map inside and outside of its object.

Source: CLIP Surgery (arXiv 2304.05653). For each class, the mean over the images that contain it of
(mean of the map inside the mask - mean outside), where maps are min-max scaled; then the mean over
classes, in [-100, 100] %. A negative contrast is what the paper calls opposite visualization.
"""

from __future__ import annotations

import numpy as np
import torch

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean, Counts


class ScoreContrast(SummedMetric):
    """mSC in percent, and the share of pairs of image and class whose contrast is negative.

    Args:
        names: class names of the data set.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.contrast = ClassMean(len(names))
        self.pairs = Counts(2)  # with negative contrast, all

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. A class that fills the image has no outside and is skipped."""
        for row, index in enumerate(evaluated.present):
            values, inside = (
                evaluated.judged_heatmaps[row].numpy(),
                evaluated.object_pixels[row].numpy(),
            )
            area = np.count_nonzero(inside)
            rest = len(inside) - area
            if not rest:
                continue
            inside_sum = values[inside].sum(dtype=np.float64)
            outside_sum = values.sum(dtype=np.float64) - inside_sum
            contrast = float(inside_sum / area - outside_sum / rest)
            self.contrast.add(index, 100 * contrast)
            self.pairs.values += torch.tensor([contrast < 0, True])

    def compute(self) -> dict[str, float]:
        """Return "mSC" in percent, and "opposite", the share of maps with negative contrast."""
        means = self.contrast.means()
        if means is None:
            return {}
        opposite, pairs = self.pairs.values.tolist()
        return {"mSC": float(means[0]), "opposite": 100 * opposite / pairs}
