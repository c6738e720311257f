"""FreeCP: classes that are not in an image are removed from the scores of any dense method.

Source: Chen et al., "Training-free Class Purification for Open-Vocabulary Semantic
Segmentation" (ICCV 2025, arXiv 2508.00557), with the thresholds of its released code for ADE20K and
COCO-Stuff; it has .15 and .8 for VOC21 and COCO objects, .15 and .7 for VOC20, .1 and .7 for
Pascal Context, .1 and .8 for Cityscapes. Differences: the crop test compares the given texts, where
the code has descriptions of a language model; its crop of 112 px is half the side of the model's
own image here; a single text competes with the empty text; if all classes are redundant, the
least redundant one is kept. The evidence remains that of the base: only the similarity, which
segmentation uses, is refined, and it is -1 for a removed class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.base_method import MethodOnBase
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.requirements import Part
from clip_surgery.refinement.boxes_of_maps import boxes_of_parts
from clip_surgery.refinement.class_pruning import ambiguous_groups, kept_in_refinement
from clip_surgery.refinement.random_walk import (
    BOX_LEVEL,
    min_max_of_all,
    transitions,
    walk_within_boxes,
)
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.observed_tower import observed_tower
from clip_surgery.surgery.walk import Features, walk
from clip_surgery.text.features import TextFeatures

REMOVED = -1.0
"""Similarity of a class that is not in the image."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WalkFeatures(Features):
    """Features of patches, and the mean attention between patches of the blocks before the last.

    Attributes:
        attention: (B, P, P).
    """

    per_patch: ClassVar[tuple[str, ...]] = ()

    attention: Tensor


@dataclass(frozen=True, kw_only=True)
class FreeCp(MethodOnBase):
    """Maps refined by a random walk; classes that change in it or repeat another are removed.

    p is the softmax of `logit_scale` times the cosines over the texts, and r its refinement by the
    mean attention of all blocks but the last. A class stays if sum(p r) / (sum(p) + sum(r)) exceeds
    `redundancy_threshold`. Of classes whose r overlap by `ambiguity_threshold`, the one that fits
    the crop of their common box best stays.

    Attributes:
        logit_scale: factor on the cosines before their softmax; CLIP's own is 100.
        redundancy_threshold: overlap of p and r, in [0, 0.5], that a class must exceed.
        ambiguity_threshold: soft intersection over union of two classes, in [0, 1]. Above 1 no
            two classes are ambiguous.

    Raises:
        InputError: if a setting is outside of its range, or base is no dense method.
    """

    name = "free_cp"
    paper = "FreeCP (ICCV 2025, arXiv 2508.00557)"
    needs: ClassVar[frozenset[Part]] = frozenset({"second-last block"})
    features_need_texts: ClassVar[bool] = True

    base: str | DenseMethod = "clearclip"
    logit_scale: float = 100.0
    redundancy_threshold: float = 0.05
    ambiguity_threshold: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.logit_scale < float("inf"):
            raise InputError(f"Expected logit_scale above 0, but got {self.logit_scale}.")
        if not 0 <= self.redundancy_threshold <= 0.5:
            raise InputError(
                f"Expected redundancy_threshold in [0, 0.5], but got {self.redundancy_threshold}."
            )
        if not self.ambiguity_threshold >= 0:
            raise InputError(
                f"Expected ambiguity_threshold of 0 or more, but got {self.ambiguity_threshold}."
            )

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return the features of the base and the mean attention of all blocks but the last."""
        earlier = range(1, len(backbone.tower.blocks))
        attention: list[Tensor] = []

        def add(_: int, of_block: Tensor) -> None:
            if attention:
                attention[0] += of_block
            else:
                attention.append(of_block)

        watched = observed_tower(backbone.tower, attention=earlier, see_attention=add)
        features = self.base_method().features_for(replace(backbone, tower=watched), pixels, texts)
        if features.grid != backbone.tower.grid(pixels):
            raise InputError(f"Expected a base with a map of the model's patches, got {self.base}.")
        return WalkFeatures(
            image=features.image,
            patches=features.patches,
            grid=features.grid,
            attention=attention[0] / len(earlier),
        )

    def segmentation_scores(
        self,
        backbone: Backbone,
        pixels: Tensor,
        texts: TextFeatures,
        features: Features,
        similarity: Tensor,
    ) -> Tensor:
        """Return refined maps (B, P, C) in [0, 1], and -1 for classes that are removed."""
        assert isinstance(features, WalkFeatures)
        probability = self._probability(similarity, features, texts)  # (B, C, P)
        walk_matrix = transitions(features.attention).to(probability)
        refined = walk_within_boxes(min_max_of_all(probability), walk_matrix, features.grid)
        kept = kept_in_refinement(probability, refined, threshold=self.redundancy_threshold)
        self._resolve(backbone, pixels, texts, features.grid, refined, kept)
        return refined.masked_fill(~kept[..., None], REMOVED).mT

    def _probability(self, similarity: Tensor, features: Features, texts: TextFeatures) -> Tensor:
        if similarity.shape[-1] == 1:
            empty = self.scores(features, texts.empty[None])
            similarity = torch.cat([similarity, empty], dim=-1)
        return (self.logit_scale * similarity).softmax(dim=-1)[..., : len(texts.texts)].mT

    def _resolve(
        self,
        backbone: Backbone,
        pixels: Tensor,
        texts: TextFeatures,
        grid: PatchGrid,
        refined: Tensor,
        kept: Tensor,
    ) -> None:
        """Remove ambiguous classes from `kept` (B, C) in place, all but the best of each box."""
        crops, groups = [], []
        for image, classes in enumerate(kept):
            candidates = classes.nonzero()[:, 0]
            maps = refined[image, candidates]
            for group in ambiguous_groups(maps, threshold=self.ambiguity_threshold):
                common = grid.to_map(maps[group].mean(dim=0))
                parts = (common >= BOX_LEVEL * common.amax())[None]
                boxes = boxes_of_parts(parts.cpu().numpy())
                crops += [crop(backbone, pixels[image], box[1:].tolist()) for box in boxes]
                groups += [(image, candidates[group])] * len(boxes)
        if not crops:
            return
        image_features = walk(backbone.tower, torch.stack(crops)).image
        scores = cosine(image_features, texts.labels)  # (crops, C)
        for image, rivals in groups:
            kept[image, rivals] = False
        for (image, rivals), of_crop in zip(groups, scores, strict=True):
            kept[image, rivals[of_crop[rivals].argmax()]] = True


def crop(backbone: Backbone, pixels: Tensor, box: list[int]) -> Tensor:
    """Return a box of patches of pixels (3, H, W), resized to half the side of the model's images.

    Args:
        backbone: the model.
        pixels: normalised pixels of one image.
        box: first row, last row, first column and last column of patches; last ones are exclusive.
    """
    patch = backbone.tower.patch_size
    top, bottom, left, right = (patch * edge for edge in box)
    side = max(1, round(backbone.image_size / 2 / patch)) * patch
    part = pixels[None, :, top:bottom, left:right]
    return interpolate(part, size=(side, side), mode="bilinear", align_corners=False)[0]
