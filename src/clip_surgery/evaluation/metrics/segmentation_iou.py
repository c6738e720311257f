"""Segmentation mIoU: the predicted class of every pixel against the mask.

One confusion matrix is kept for the whole data set. There are two conventions, whose numbers cannot
be compared with each other:

* Background is not a class (VOC20, Context59, COCO-Stuff, Cityscapes, ADE20K): `background="none"`.
  Every pixel is assigned a class. Pixels without a class in the mask (-1) are ignored, like pixels
  that are not judged (-2).
* Background is a class (VOC21, Context60, COCO objects). A pixel is predicted as background if the
  scaled map of the best class is below a threshold (`background="threshold"`), if the best name is
  not likely (`background="probability"`), or if a background word has the highest similarity
  (`background="words"`). In data sets with a class "background", such pixels are of this class.

Either all classes compete in every image (`labels="all"`), or only those that are in the image
(`labels="present"`), as in publications that assume given labels.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.metric import SummedMetric
from clip_surgery.evaluation.metrics.sums import Counts
from clip_surgery.refinement.registry import Refinement, as_refinement
from clip_surgery.tasks.segmentation import Background, segment

Labels = Literal["present", "all"]
THRESHOLD = 0.6
BACKGROUND = "background"
"""Name of the class of pixels without object, in VOC21 and Context60."""


class SegmentationIoU(SummedMetric):
    """Mean over classes of the IoU in percent.

    A class that does not occur in any mask is left out of the mean, even if it was predicted.

    Args:
        names: class names of the data set.
        labels: which classes compete in an image, "present" or "all".
        background: rule by which a pixel is predicted as background: "none", "threshold",
            "probability" or "words".
        threshold: for `background="threshold"` and `"probability"`, in [0, 1].
        logit_scale: for `background="probability"`.
        min_presence: classes that are less likely than this do not compete; None for no such rule.
        refine: refinement of the maps along the edges of the image, see `tasks.segmentation`.

    Raises:
        UnknownNameError: if `labels`, `background` or `refine` is unknown.
        InputError: if the threshold or min_presence is out of range.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        *,
        labels: Labels = "present",
        background: Background = "threshold",
        threshold: float = THRESHOLD,
        logit_scale: float = 40.0,
        min_presence: float | None = None,
        refine: str | Refinement = "none",
    ) -> None:
        for kind, value, known in (
            ("labels", labels, Labels),
            ("background", background, Background),
        ):
            if value not in get_args(known):
                raise UnknownNameError.among(kind, value, get_args(known))
        if not 0 <= threshold <= 1:
            raise InputError(f"Expected threshold to be within 0 to 1, but got {threshold}.")
        if min_presence is not None and not 0 <= min_presence <= 1:
            raise InputError(f"Expected min_presence to be within 0 to 1, but got {min_presence}.")
        as_refinement(refine)
        self.labels, self.background, self.threshold = labels, background, threshold
        self.min_presence, self.refine, self.logit_scale = min_presence, refine, logit_scale
        # The class of a pixel without class: that of the data set, or the last row and column.
        self.no_class = names.index(BACKGROUND) if BACKGROUND in names else len(names)
        # rows: ground truth, columns: prediction; the last of each is background
        self.confusion = Counts(len(names) + 1, len(names) + 1)

    def update(self, evaluated: EvaluatedImage) -> None:
        """Add one image.

        An image is skipped if the explanation has no dense similarity, if no class competes, or if
        no pixel is counted.

        Raises:
            InputError: if background words are needed and the evaluated image has none.
        """
        competing = (
            evaluated.present if self.labels == "present" else list(range(len(evaluated.names)))
        )
        counted = evaluated.mask >= 0 if self.background == "none" else evaluated.judged
        if evaluated.explanation.similarity is None or not competing or not counted.any():
            return
        [prediction] = segment(
            evaluated.explanation,
            [evaluated.texts_of_names[index] for index in competing],
            background=self.background,
            threshold=self.threshold,
            logit_scale=self.logit_scale,
            background_words=evaluated.background
            if self.background in ("words", "probability")
            else (),
            min_presence=self.min_presence,
            refine=self.refine,
            images=[evaluated.sample.image],
        )
        classes = len(evaluated.names) + 1
        index = torch.tensor([*competing, self.no_class])  # the last entry is for -1
        truth = evaluated.mask[counted]
        truth = truth.where(truth >= 0, classes - 1)
        pairs = truth * classes + index[prediction.cpu()[counted]]
        self.confusion.values += torch.bincount(pairs, minlength=classes**2).view(classes, classes)

    def compute(self) -> dict[str, float]:
        """Return mIoU and accuracy in percent.

        Returns:
            "segmentation mIoU" over the classes, "segmentation accuracy" over the pixels and, if
            background is a class, "segmentation mIoU objects" without it.
        """
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
