"""Box IoU: how well the boxes of a text's map cover the regions of its class.

For each connected region of the ground truth, the highest intersection over union of its bounding
box with a box of the class. The mean over regions is taken for each class, then over classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import ClassMean
from clip_surgery.tasks.boxes import BoxRule, boxes

_TOUCHING = np.ones((3, 3))


class BoxIoU(SummedMetric):
    """Mean IoU in percent of the regions of the ground truth with the best box of their class.

    Args:
        names: class names of the data set.
        rule: how boxes are cut, see `tasks.boxes.boxes`.
        smallest: regions whose bounding box covers less than this share of the image are not
            counted: they are remnants of covered objects.
    """

    def __init__(
        self, names: tuple[str, ...], *, rule: BoxRule | None = None, smallest: float = 0.003
    ) -> None:
        self.rule, self.smallest = rule, smallest
        self.overlaps = ClassMean(len(names))

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image. Pixels that are not judged belong to no region."""
        if not evaluated.present:
            return
        names = [evaluated.names[index] for index in evaluated.present]
        [boxes_of_classes] = boxes(evaluated.by_name, names, rule=self.rule)
        mask = evaluated.mask.numpy()
        for index, boxes_of_class in zip(evaluated.present, boxes_of_classes, strict=True):
            predicted = np.array([box.xyxy for box in boxes_of_class], np.float64).reshape(-1, 4)
            for region in self._regions(mask == index):
                self.overlaps.add(index, 100 * _best_iou(region, predicted))

    def _regions(self, mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
        """Bounding boxes (left, top, right, bottom) of the connected regions of a mask."""
        from scipy import ndimage

        labels, _ = ndimage.label(mask, structure=_TOUCHING)
        regions = [
            np.array([columns.start, rows.start, columns.stop, rows.stop], np.float64)
            for rows, columns in ndimage.find_objects(labels)
        ]
        return [region for region in regions if _area(region) >= self.smallest * mask.size]

    def compute(self) -> dict[str, float]:
        """Return "box IoU" in percent."""
        means = self.overlaps.means()
        return {} if means is None else {"box IoU": float(means[0])}


def _best_iou(region: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    if not len(predicted):
        return 0.0
    corner = np.maximum(region[:2], predicted[:, :2])
    sides = (np.minimum(region[2:], predicted[:, 2:]) - corner).clip(0)
    common = sides.prod(axis=1)
    return float((common / (_area(region) + _area(predicted) - common)).max())


def _area(boxes_xyxy: NDArray[np.float64]) -> NDArray[np.float64]:
    width = boxes_xyxy[..., 2] - boxes_xyxy[..., 0]
    area: NDArray[np.float64] = width * (boxes_xyxy[..., 3] - boxes_xyxy[..., 1])
    return area
