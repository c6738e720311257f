"""mSC, mean score contrast: how much brighter an object's map is inside than outside.

Source: CLIP Surgery (arXiv 2304.05653): mean over classes of the mean over images holding the
class of (mean map inside the mask - mean map outside), maps min-maxed; in -100..100 %. Below 0
is opposite visualisation.
"""

from __future__ import annotations

import numpy as np
import torch

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean, Counts


class ScoreContrast(SummedMetric):
    """mSC in percent, and the share of (image, object) pairs whose map is opposite."""

    name = "score contrast"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.contrast = ClassMean(len(names))
        self.pairs = Counts(2)  # opposite, all

    def update(self, case: Case) -> None:
        """Take one image in; an object that fills the image has no outside and is skipped."""
        for row, index in enumerate(case.present):
            values, inside = case.scaled_judged[row].numpy(), case.insides[row].numpy()
            area = np.count_nonzero(inside)
            rest = len(inside) - area
            if not rest:
                continue
            on_object = values[inside].sum(dtype=np.float64)
            elsewhere = values.sum(dtype=np.float64) - on_object
            contrast = float(on_object / area - elsewhere / rest)
            self.contrast.add(index, 100 * contrast)
            self.pairs.values += torch.tensor([contrast < 0, True])

    def compute(self) -> dict[str, float]:
        """mSC (%), and opposite maps (%)."""
        means = self.contrast.means()
        if means is None:
            return {}
        opposite, pairs = self.pairs.values.tolist()
        return {"mSC": float(means[0]), "opposite": 100 * opposite / pairs}
