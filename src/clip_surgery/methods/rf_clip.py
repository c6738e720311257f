"""RF-CLIP: over-active patches are repaired after every block; the last block attends as all do.

Source: Li, Lu, Zhang, Xie, Wang, Xie, Qu, "Target Refocusing via Attention Redistribution for Open-
Vocabulary Semantic Segmentation: An Explainability Perspective" (AAAI 2026, arXiv 2511.16170), as
its released code computes it. The attention that the paper redistributes within the blocks is
switched off in that code and is not part of the method. The settings are those of the code for
ViT-B/16; `text_shift`, `cut` and `global_share` differ between data sets, the defaults are those of
ADE20K (see `evaluation.protocols.benchmarks`). The channels of the code were read from the weights
of OpenAI's ViT-B/16; for other models they are found in each image (`surgery.channel_outliers`).
Differences from the code: the image feature remains the model's own, from a second forward pass
that begins where the first repair is; smoothing divides by the sum of the weights, which the norm
of the block makes no difference to; patches outside of the image do not count in the mean of
neighbours (`zero_border`); the class token that texts are compared with is that of the window, not
of the whole image. Refinement on pixels, windows and thresholds are not part of the method.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.moved_texts import MovedTexts
from clip_surgery.methods.requirements import Part
from clip_surgery.surgery.affinity import cut_below, patch_cosines, smooth
from clip_surgery.surgery.channel_outliers import (
    OPENAI_VIT_B_16,
    find_active_patches,
    mix_with_neighbours,
)
from clip_surgery.surgery.outliers import fill_outliers, find_outliers
from clip_surgery.surgery.refocused_walk import all_keys, refocused_walk
from clip_surgery.surgery.walk import Features
from clip_surgery.text.features import Linkage, TextFeatures

PUBLISHED_FOR = frozenset(
    {
        "vit-b-16/openai",
        "vit-b-16-quickgelu/openai",
        "openai/clip-vit-base-patch16",
        "timm/vit_base_patch16_clip_224.openai",
    }
)
"""Names, without their scheme, of the model for which the channels of the code are."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RefocusedFeatures(Features):
    """Features of images and patches, and the image feature of the repaired tokens.

    Attributes:
        refocused_image: (B, D), not normalised.
    """

    per_image: ClassVar[tuple[str, ...]] = ("image", "refocused_image")

    refocused_image: Tensor


@dataclass(frozen=True, kw_only=True)
class RfClip(MovedTexts):
    """The patch output of the last block is O(mean of A(k, k) over blocks, v), for two inputs.

    After each block an outlier x becomes (1 - fill_share) x + fill_share times the mean of its 3 x
    3 neighbourhood. The inputs are the tokens before the last block and the mean of the outputs of
    all blocks, the guide; both are smoothed by the cosines of the guide, and their outputs
    averaged. The block has no residual connection and no feed-forward. The similarity that
    segmentation compares is the cosine with moved texts, and a share of the cosine of the repaired
    image feature.

    Attributes:
        channels: the channels by which outliers are found. "published": those of the code for
            OpenAI's ViT-B/16. "found": those that are active in few patches of an image. "auto":
            "published" for that model, by its name, and "found" for others. Or numbers, separated
            by spaces.
        factor: how many times the mean share 1 / E of a token a channel of an outlier exceeds.
        fill_share: share of the mean of the neighbourhood in a repaired patch, in [0, 1].
        threshold: lowest cosine of two patches by which patches are smoothed.
        zero_border: whether patches outside of the image count as zeros in the mean of the
            neighbourhood, as in the code.
        repair_outliers: whether outliers of `surgery.outliers` are also repaired, before the last
            block.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name = "rf_clip"
    paper = "RF-CLIP (AAAI 2026, arXiv 2511.16170)"
    needs: ClassVar[frozenset[Part]] = frozenset({"second-last block"})
    decides_by_thresholds: ClassVar[bool] = True
    linkage: ClassVar[Linkage] = "complete"

    channels: str = "auto"
    factor: float = 5.0
    fill_share: float = 0.4
    threshold: float = 0.4
    zero_border: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._channels_for("")
        if not 0 <= self.factor < float("inf"):
            raise InputError(f"Expected factor of 0 or more, but got {self.factor}.")
        for setting in ("fill_share", "threshold"):
            if not 0 <= getattr(self, setting) <= 1:
                raise InputError(f"Expected {setting} in [0, 1], but got {getattr(self, setting)}.")

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return the refocused features, with the channels for the model of this name."""
        return self._features(backbone.tower, pixels, self._channels_for(backbone.name))

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return the refocused features; "auto" finds the channels, as a tower has no name."""
        return self._features(tower, pixels, self._channels_for(""))

    def compared_image(self, features: Features) -> Tensor:
        """Return the image feature (B, D) of the repaired tokens."""
        assert isinstance(features, RefocusedFeatures)
        return features.refocused_image

    def _features(
        self, tower: Tower, pixels: Tensor, channels: tuple[int, ...] | None
    ) -> RefocusedFeatures:
        walked = refocused_walk(
            tower,
            pixels,
            find=partial(find_active_patches, channels=channels, factor=self.factor),
            repair=partial(
                mix_with_neighbours, share=self.fill_share, zero_border=self.zero_border
            ),
        )
        last, prefix = walked.last, tower.prefix_tokens
        patches = last.patches
        if self.repair_outliers:
            outliers = find_outliers(last.seen.heads[last.seen.blocks - 1])
            patches = fill_outliers(patches, outliers, last.grid)
        guide = walked.guide[:, prefix:]
        weights = cut_below(patch_cosines(guide), self.threshold)
        smoothed_guide = torch.cat([walked.guide[:, :prefix], smooth(guide, weights)], dim=1)
        inputs = last.with_patches(smooth(patches, weights)), smoothed_guide
        first, second = (last.attend(tokens, all_keys, prefix_keys=True) for tokens in inputs)
        return RefocusedFeatures(
            image=walked.image,
            patches=last.tower.project((first + second) / 2),
            grid=last.grid,
            refocused_image=walked.refocused_image,
        )

    def _channels_for(self, model: str) -> tuple[int, ...] | None:
        """Return the channels for the model of this name; None if they are found in each image."""
        if self.channels == "found":
            return None
        if self.channels == "published":
            return OPENAI_VIT_B_16
        if self.channels == "auto":
            is_known = model.partition(":")[2].lower() in PUBLISHED_FOR
            return OPENAI_VIT_B_16 if is_known else None
        numbers = self.channels.split() if isinstance(self.channels, str) else []
        if not numbers or not all(re.fullmatch("[0-9]{1,6}", number) for number in numbers):
            raise InputError(
                'Expected channels "auto", "found", "published" or numbers separated by spaces, '
                f"but got {self.channels!r}."
            )
        return tuple(int(number) for number in numbers)
