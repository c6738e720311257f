"""Segmentation mIoU: the class of every pixel against the mask, by one confusion of the data set.

The field measures this in two ways, and numbers of one say nothing of the other:

* background is no class (VOC20, Context59, COCO-Stuff, Cityscapes, ADE20K): `background="none"`.
  Every pixel gets a name; pixels that belong to none (-1) are ignored, as those not judged are.
* background is a class (VOC21, Context60, COCO objects): by "threshold", where the winner's
  min-maxed map is low, or by "words", where one of the case's background words wins.

And either all names compete in every image (`labels="all"`), or only those in it, as where
published numbers give the labels ("present").
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.case import Case
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import Counts
from clip_surgery.tasks.segmentation import Background, segment

Labels = Literal["present", "all"]
THRESHOLD = 0.6


class SegmentationIoU(SummedMetric):
    """Mean over classes of the IoU in percent.

    A class that no mask of the data set holds is left out, even where it was answered.

    Args:
        names: the names that masks index.
        labels: which of them compete in an image.
        background: where an answer is no class.
        threshold: for "threshold", in [0, 1].

    Raises:
        UnknownNameError: for other labels or another background.
        InputError: when the threshold is out of range.
    """

    name = "segmentation IoU"

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        labels: Labels = "present",
        background: Background = "threshold",
        threshold: float = THRESHOLD,
    ) -> None:
        for kind, value, known in (
            ("labels", labels, Labels),
            ("background", background, Background),
        ):
            if value not in get_args(known):
                raise UnknownNameError.among(kind, value, get_args(known))
        if not 0 <= threshold <= 1:
            raise InputError(f"Expected threshold to be within 0 to 1, but got {threshold}.")
        self.labels, self.background, self.threshold = labels, background, threshold
        # rows: truth, columns: answer; the last of each is background
        self.confusion = Counts(len(names) + 1, len(names) + 1)

    def update(self, case: Case) -> None:
        """Take one image in.

        Without a dense similarity, a name that competes or a pixel that counts it says nothing.

        Raises:
            InputError: when the background is by words and the case has none.
        """
        competing = case.present if self.labels == "present" else list(range(len(case.names)))
        counted = case.mask >= 0 if self.background == "none" else case.judged
        if case.explanation.similarity is None or not competing or not counted.any():
            return
        [answer] = segment(
            case.explanation,
            names=[case.asked[index] for index in competing],
            background=self.background,
            threshold=self.threshold,
            background_words=case.background if self.background == "words" else (),
        )
        side = len(case.names) + 1
        index = torch.tensor([*competing, side - 1])  # the last stands for -1
        truth = case.mask[counted]
        truth = truth.where(truth >= 0, side - 1)
        pairs = truth * side + index[answer.cpu()[counted]]
        self.confusion.values += torch.bincount(pairs, minlength=side**2).view(side, side)

    def compute(self) -> dict[str, float]:
        """mIoU (%) over the classes, accuracy of pixels (%), and mIoU without background (%)."""
        confusion = self.confusion.values
        pixels = confusion.sum()
        if not pixels:
            return {}
        hit = confusion.diagonal().double()
        true = confusion.sum(dim=1)
        ious = 100 * hit / (confusion.sum(dim=0) + true - confusion.diagonal()).clamp(min=1)
        values = {
            "segmentation mIoU": float(ious[true > 0].mean()),
            "segmentation accuracy": float(100 * hit.sum() / pixels),
        }
        if self.background != "none" and (true[:-1] > 0).any():
            values["segmentation mIoU objects"] = float(ious[:-1][true[:-1] > 0].mean())
        return values
