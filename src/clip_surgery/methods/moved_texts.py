"""The base class of dense methods whose texts move towards the patches of each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import Features
from clip_surgery.text.features import Linkage, TextFeatures, TextShift


@dataclass(frozen=True, kw_only=True)
class MovedTexts(DenseMethod):
    """Settings of methods that compare patches with moved texts in segmentation.

    The formulas are in `surgery.text_shift`. The defaults are those of the authors for ADE20K.

    Attributes:
        text_shift: how far texts move towards their best patches, in [0, 1].
        cut: highest distance of texts within a cluster, 0 or more.
        global_share: share of the image's cosine in the similarity, in [0, 1].

    Raises:
        InputError: if a setting is outside of its range.
    """

    features_need_texts: ClassVar[bool] = True
    linkage: ClassVar[Linkage] = "ward"
    """The linkage of the clusters of texts."""

    text_shift: float = 0.05
    cut: float = 0.06
    global_share: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting in ("text_shift", "global_share"):
            if not 0 <= getattr(self, setting) <= 1:
                raise InputError(f"Expected {setting} in [0, 1], but got {getattr(self, setting)}.")
        if not 0 <= self.cut < float("inf"):
            raise InputError(f"Expected cut of 0 or more, but got {self.cut}.")

    def compared_image(self, features: Features) -> Tensor:
        """Return the image feature (B, D) by which texts are chosen; by default the model's own."""
        return features.image

    def segmentation_scores(
        self,
        backbone: Backbone,
        pixels: Tensor,
        texts: TextFeatures,
        features: Features,
        similarity: Tensor,
    ) -> Tensor:
        """Return cosines (B, P, C) with moved texts, mixed with those of the image."""
        shift = TextShift(
            share=self.text_shift,
            cut=self.cut,
            image_share=self.global_share,
            linkage=self.linkage,
        )
        image = cosine(self.compared_image(features), texts.labels)
        return self.scores_of_moved_texts(features, texts, shift, image)
