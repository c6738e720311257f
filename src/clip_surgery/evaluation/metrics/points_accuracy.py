"""Accuracy of points: positive points should be on the object, negative points outside of it."""

from __future__ import annotations

import torch

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean, Counts
from clip_surgery.tasks.point_rules import PointRule
from clip_surgery.tasks.points import PointRuleName, points


class PointsAccuracy(SummedMetric):
    """Shares of correct points in percent, over all points and as a mean over classes.

    Args:
        names: class names of the data set.
        mode: how points are chosen, see `tasks.points.points`.
        min_presence: minimum presence probability in [0, 1]; classes below it yield no points. If
            None, presence is not checked.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        mode: PointRuleName | PointRule = "reference",
        min_presence: float | None = None,
    ) -> None:
        self.mode, self.min_presence = mode, min_presence
        self.by_class = ClassMean(len(names), 1)
        self.counts = Counts(2, 2)  # (positive, negative) x (correct, all)
        self.without_points = Counts(2)  # classes without a positive point, all classes

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. Points on pixels that are not judged do not count."""
        if not evaluated.present:
            return
        [points_of_classes] = points(
            evaluated.by_name,
            [evaluated.names[index] for index in evaluated.present],
            rule=self.mode,
            min_presence=self.min_presence,
        )
        for index, class_points in zip(evaluated.present, points_of_classes, strict=True):
            xy = torch.from_numpy(class_points.xy).long()
            positive = torch.from_numpy(class_points.labels) == 1
            truth, judged = evaluated.mask[xy[:, 1], xy[:, 0]], evaluated.judged[xy[:, 1], xy[:, 0]]
            correct = (truth == index) == positive
            for row, chosen in enumerate((positive & judged, ~positive & judged)):
                self.counts.values[row] += torch.tensor(
                    [int(correct[chosen].sum()), int(chosen.sum())]
                )
            self.without_points.values += torch.tensor([int(not positive.any()), 1])
            if (positive & judged).any():
                share = correct[positive & judged].double().mean()
                self.by_class.add(index, 100 * float(share))

    def compute(self) -> dict[str, float]:
        """Return the shares in percent.

        Returns:
            "positives right" and "negatives right" over all points, "positives right, class mean",
            and "without points", the share of present classes without a positive point.
        """
        values = {}
        for name, (correct, total) in zip(
            ("positives right", "negatives right"), self.counts.values.tolist(), strict=True
        ):
            if total:
                values[name] = 100 * correct / total
        means = self.by_class.means()
        if means is not None:
            values["positives right, class mean"] = float(means[0])
        without_points, classes = self.without_points.values.tolist()
        if classes:
            values["without points"] = 100 * without_points / classes
        return values
