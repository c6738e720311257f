"""Segmentation mIoU: the argmax over the names in the picture, and background, against the mask.

The names present are given, as where published numbers give the labels; a pixel is background
where the winner's min-maxed map lies below a threshold. One confusion over the data set, mean of
the IoU over its classes; with background as a class among them, and without.
"""

from __future__ import annotations

import torch

from clip_surgery.evaluation.case import Case
from clip_surgery.tasks.segmentation import segment

THRESHOLD = 0.6


class SegmentationIoU:
    """mIoU in percent with the present names given."""

    name = "segmentation IoU"

    def __init__(self, names: tuple[str, ...], *, threshold: float = THRESHOLD) -> None:
        self.threshold = threshold
        # rows: truth, columns: answer; the last of each is background
        self.confusion = torch.zeros(len(names) + 1, len(names) + 1, dtype=torch.int64)

    def update(self, case: Case) -> None:
        """Take one picture in; without a dense similarity or a present name it says nothing."""
        if case.explanation.similarity is None or not case.present:
            return
        own = [case.names[index] for index in case.present]
        answer = segment(
            case.explanation.only(own), background="threshold", threshold=self.threshold
        )[0]
        count = len(case.names)
        index = torch.tensor([*case.present, count])  # the last stands for -1
        truth = case.mask[case.judged]
        pairs = truth.where(truth >= 0, count) * (count + 1) + index[answer[case.judged].cpu()]
        self.confusion += torch.bincount(pairs, minlength=(count + 1) ** 2).view(count + 1, -1)

    def merge(self, other: SegmentationIoU) -> None:
        """Add another part."""
        self.confusion += other.confusion

    def compute(self) -> dict[str, float]:
        """mIoU (%) over objects and background, over objects alone, and accuracy of pixels (%)."""
        pixels = self.confusion.sum()
        if not pixels:
            return {}
        hit = self.confusion.diagonal().double()
        union = self.confusion.sum(0) + self.confusion.sum(1) - self.confusion.diagonal()
        true = self.confusion.sum(1)
        ious = 100 * hit / union.clamp(min=1)
        with_background, objects = true > 0, true[:-1] > 0
        values = {
            "segmentation mIoU": float(ious[with_background].mean()),
            "segmentation accuracy": float(100 * hit.sum() / pixels),
        }
        if objects.any():
            values["segmentation mIoU objects"] = float(ious[:-1][objects].mean())
        return values
