"""ResCLIP: attention of middle blocks and feedback of classes in the last block.

Source: Yang, Deng, Li, Duan, "ResCLIP: Residual Attention for Training-free Dense Vision-language
Inference" (CVPR 2025, arXiv 2411.15851), on NACLIP. Each data set has its own settings; the
defaults are those of ADE20K. Middle share r, sharpness a, feedback share u, threshold:

    VOC21      .3 2.2 .7 .5     Context60 .3 1.8 .7 .3     COCO objects .4 1.8 .7 .11
    VOC20      .6 2.1 .6 .1     Context59 .4 1.8 .7 .25    COCO-Stuff   .4 1.8 .7 .11
    Cityscapes .2 2.1 .6 .1     ADE20K    .3 2.1 .7 .25

Differences from the released code: classes of the first pass are those of patches, where the code
refines them on pixels (PAMR) first; errors of the code are the variant "released" (see
`surgery.class_feedback`); the image feature remains the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import biased_key_key, gaussian_bumps, query_key
from clip_surgery.surgery.class_feedback import Variant, class_feedback
from clip_surgery.surgery.earlier_attention import blend, with_earlier_heads
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.last_block import LastBlock, enter_last_block
from clip_surgery.surgery.outliers import check_repairable, fill_outliers, find_outliers
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import Watch
from clip_surgery.text.features import TextFeatures

MIDDLE_BLOCKS = (6 / 12, 7 / 12, 8 / 12, 9 / 12)
"""Fractions of the depth: blocks 6 to 9 of 12."""


@dataclass(frozen=True, kw_only=True)
class ResClip(DenseMethod):
    """Patches receive 2 ((1 - r) softmax(a ((1 - u) s k k^T + u F) + w) + r R) v.

    R is the mean attention of the middle blocks, w NACLIP's Gaussian of the distance, and F tells
    which patches belong to one object, from the classes of a first pass without F (u = 0, a = 1).
    The residual connection and the feed-forward of the block are left out. The patch features
    depend on the texts.

    Attributes:
        middle_share: share r of the attention of the middle blocks, in [0, 1].
        sharpness: factor a in the second pass.
        feedback_share: share u of the feedback, in [0, 1]. With 0 there is one pass.
        feedback_threshold: lowest probability in [0, 1] of the class of a patch in the first pass.
            With the variant "paper" a patch below it belongs to no object; with "released" it gets
            the first text, as the code does, whose first text is the background.
        logit_scale: factor on the cosines before their softmax in the first pass.
        std: standard deviation of the Gaussian and of the blur of F, in patches.
        variant: "paper", or "released" with the errors of the code.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if variant is unknown.
    """

    name = "res_clip"
    paper = "ResCLIP (CVPR 2025, arXiv 2411.15851)"
    features_need_texts: ClassVar[bool] = True

    middle_share: float = 0.3
    sharpness: float = 2.1
    feedback_share: float = 0.7
    feedback_threshold: float = 0.25
    logit_scale: float = 40.0
    std: float = 5.0
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in get_args(Variant):
            raise UnknownNameError.among("variant", self.variant, get_args(Variant))
        for setting in ("middle_share", "feedback_share", "feedback_threshold"):
            if not 0 <= getattr(self, setting) <= 1:
                raise InputError(f"Expected {setting} in [0, 1], but got {getattr(self, setting)}.")
        for setting in ("sharpness", "logit_scale", "std"):
            if not 0 < getattr(self, setting) < float("inf"):
                raise InputError(f"Expected {setting} above 0, but got {getattr(self, setting)}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features of the first pass, which do not depend on texts."""
        last = self._enter(tower, pixels)
        return Features(image=last.image(), patches=self._patches(last, None), grid=last.grid)

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return features of the second pass, with the feedback of the classes of the first."""
        last = self._enter(backbone.tower, pixels)
        patches = self._patches(last, None)
        if self.feedback_share > 0:
            classes = self._classes(cosine(patches, texts.labels))
            feedback = class_feedback(classes, last.grid, std=self.std, variant=self.variant)
            patches = self._patches(last, feedback)
        return Features(image=last.image(), patches=patches, grid=last.grid)

    def _enter(self, tower: Tower, pixels: Tensor) -> LastBlock:
        heads: tuple[float, ...] = MIDDLE_BLOCKS
        if self.repair_outliers:
            check_repairable(tower)
            heads = (*heads, 1 - 1 / len(tower.blocks))
        return enter_last_block(tower, pixels, Watch(heads=heads))

    def _patches(self, last: LastBlock, feedback: Tensor | None) -> Tensor:
        """Return projected patches (B, P, D) of one pass, with or without feedback (B, P, P)."""
        nearness = gaussian_bumps(last.grid, self.std).to(last.tokens.device)
        if feedback is None:
            last_rule = biased_key_key(nearness)
        else:
            bias = self.sharpness * self.feedback_share * feedback + nearness
            last_rule = biased_key_key(bias, sharpness=self.sharpness * (1 - self.feedback_share))
        rule = blend(last_rule, with_earlier_heads(query_key, MIDDLE_BLOCKS), self.middle_share)
        tokens = last.tokens
        if self.repair_outliers:
            outliers = find_outliers(last.seen.heads[last.seen.blocks - 1])
            tokens = last.with_patches(fill_outliers(last.patches, outliers, last.grid))
        output = last.attend(tokens, lambda heads: 2 * rule(heads), prefix_keys=True)
        return last.tower.project(output)

    def _classes(self, similarity: Tensor) -> Tensor:
        """Return the class of each patch (B, P) from cosines with texts (B, P, C)."""
        probability, classes = (self.logit_scale * similarity).softmax(dim=-1).max(dim=-1)
        of_no_class = torch.zeros_like(classes)
        if self.variant == "paper":  # a class of its own
            of_no_class = -1 - torch.arange(classes.shape[1], device=classes.device)
        return torch.where(probability >= self.feedback_threshold, classes, of_no_class)
