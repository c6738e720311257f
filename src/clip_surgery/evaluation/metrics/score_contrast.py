"""mSC, mean score contrast: how much brighter an object's map is inside than outside.

Source: CLIP Surgery (arXiv 2304.05653): mean over classes of the mean over pictures holding the
class of (mean map inside the mask - mean map outside), maps min-maxed; in -100..100 %. Below 0
is opposite visualisation.
"""

from __future__ import annotations

from typing import Self

from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.metrics.metric import ClassMean


class ScoreContrast:
    """mSC in percent, and the share of (picture, object) pairs whose map is opposite."""

    name = "score contrast"

    def __init__(self, names: tuple[str, ...]) -> None:
        self.contrast = ClassMean(len(names))
        self.pairs = 0
        self.opposite = 0

    def update(self, case: Case) -> None:
        """Take one picture in; an object that fills the picture has no outside and is skipped."""
        for row, index in enumerate(case.present):
            values, inside = case.scaled[row][case.judged].double(), case.inside(index)
            if inside.all():
                continue
            contrast = float(values[inside].mean() - values[~inside].mean())
            self.contrast.add(index, 100 * contrast)
            self.pairs += 1
            self.opposite += contrast < 0

    def merge(self, other: Self) -> None:
        """Add another part."""
        self.contrast.merge(other.contrast)
        self.pairs += other.pairs
        self.opposite += other.opposite

    def compute(self) -> dict[str, float]:
        """mSC (%), and opposite maps (%)."""
        means = self.contrast.means()
        if means is None:
            return {}
        return {"mSC": float(means[0]), "opposite": 100 * self.opposite / self.pairs}
