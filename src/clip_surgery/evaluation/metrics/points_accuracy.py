"""Points accuracy: how many of the clicks on an object are on it, and of those off it, off it."""

from __future__ import annotations

import torch

from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean, Counts
from clip_surgery.tasks.point_rules import PointRule
from clip_surgery.tasks.points import PointMode, points


class PointsAccuracy(SummedMetric):
    """Shares in percent over all points of all present names, and mean over classes.

    A name whose map gives no point has none to count; `silent` is the share of such names.
    """

    name = "points accuracy"

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        mode: PointMode | PointRule = "reference",
        min_presence: float | None = None,
    ) -> None:
        self.mode, self.min_presence = mode, min_presence
        self.by_class = ClassMean(len(names), 1)
        self.counts = Counts(2, 2)  # (positive, negative) x (right, all)
        self.silent = Counts(2)  # without a point, all

    def update(self, case: Case) -> None:
        """Take one image in; points on pixels that are not judged do not count."""
        for index in case.present:
            [found] = points(
                case.by_name,
                case.names[index],
                mode=self.mode,
                min_presence=self.min_presence,
            )
            xy = torch.from_numpy(found.xy).long()
            positive = torch.from_numpy(found.labels) == 1
            truth, judged = case.mask[xy[:, 1], xy[:, 0]], case.judged[xy[:, 1], xy[:, 0]]
            right = (truth == index) == positive
            for row, chosen in enumerate((positive & judged, ~positive & judged)):
                self.counts.values[row] += torch.tensor(
                    [int(right[chosen].sum()), int(chosen.sum())]
                )
            self.silent.values += torch.tensor([int(not positive.any()), 1])
            if (positive & judged).any():
                share = right[positive & judged].double().mean()
                self.by_class.add(index, 100 * float(share))

    def compute(self) -> dict[str, float]:
        """Positives on the object (%), per class, negatives off it (%), names without point (%)."""
        values = {}
        for name, (right, total) in zip(
            ("positives right", "negatives right"), self.counts.values.tolist(), strict=True
        ):
            if total:
                values[name] = 100 * right / total
        means = self.by_class.means()
        if means is not None:
            values["positives right, class mean"] = float(means[0])
        silent, names = self.silent.values.tolist()
        if names:
            values["without points"] = 100 * silent / names
        return values
