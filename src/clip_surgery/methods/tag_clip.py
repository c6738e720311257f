"""TagCLIP: which texts are in an image, from patches that agree with their neighbours by attention.

Source: Lin et al., "TagCLIP: A Local-to-Global Framework to Enhance Open-Vocabulary Multi-Label
Classification of CLIP Without Training" (AAAI 2024, arXiv 2312.12828), with the settings of its
released code for VOC and COCO. For COCO-Stuff the code averages the attention of all blocks but
the last, and its `candidate_level` is 0.1. Differences: the texts compete with the empty text,
where the code has a list of background words; boxes are not cut at the last row and column; a
class without a box does not end the search for others. The result of a class is the maximum of its
evidence, so that the map shows where it was found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.requirements import Part, require
from clip_surgery.refinement.boxes_of_maps import box_masks
from clip_surgery.surgery.attention import identity
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.limited_class_token import limited_image_features, resized_mask
from clip_surgery.surgery.min_max import rescale
from clip_surgery.surgery.observed_tower import observed_tower
from clip_surgery.surgery.walk import walk_two_paths
from clip_surgery.text.features import TextFeatures

MIDDLE, VOTES = 0.75, 4 / 12
"""The attention of blocks 9 to 11 of 12 is averaged; 4 of 12 blocks must agree on a pair."""
_CROPS = 16  # crops that the model processes at a time


@dataclass(frozen=True, kw_only=True)
class TagClip:
    """Probabilities of patches, refined by attention within the boxes of a class, then by crops.

    p is the softmax of the cosines of MaskCLIP times the model's logit scale. A is the mean
    attention of the later blocks but the last, where at least a third of all blocks exceed their
    mean. The map of a class is A times p within the boxes where A p exceeds its mean. A class whose
    best patch is above `candidate_level` of the range of all classes is compared again, on a crop
    around its map, by a class token that attends to the map alone.

    Attributes:
        crops: whether candidates are compared again on crops.
        candidate_level: level of a candidate in the range of all maps, in [0, 1].
        crop_share: share of the crop in the result of a candidate, in [0, 1].

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "tag_clip"
    paper: ClassVar[str] = "TagCLIP (AAAI 2024, arXiv 2312.12828)"
    needs_gradient: ClassVar[bool] = False
    needs: ClassVar[frozenset[Part]] = frozenset({"class token", "second-last block"})
    decides_by_thresholds: ClassVar[bool] = True

    crops: bool = True
    candidate_level: float = 0.5
    crop_share: float = 0.5

    def __post_init__(self) -> None:
        for setting in ("candidate_level", "crop_share"):
            if not 0 <= getattr(self, setting) <= 1:
                raise InputError(f"Expected {setting} in [0, 1], but got {getattr(self, setting)}.")

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return refined maps, whose maximum is the result of a class.

        `similarity` are the maps before they are scaled by what the crops say.

        Raises:
            UnsupportedModelError: if the tower has no class token or fewer than two blocks.
        """
        require(backbone, self.needs, purpose=self.name)
        agreement = Agreement(len(backbone.tower.blocks))
        watched = observed_tower(
            backbone.tower,
            attention=range(1, len(backbone.tower.blocks)),
            see_attention=agreement.add,
        )
        features = walk_two_paths(
            watched, pixels, depth=1, rule=identity, residual=True, feed_forward=True
        )
        rivals = torch.cat([texts.labels, texts.empty[None]])
        logits = backbone.logit_scale * cosine(features.patches, rivals)  # (B, P, C + 1)
        probability = logits.softmax(dim=-1).mT
        attention = agreement.attention().to(probability)
        maps = refined_maps(probability, attention, features.grid)
        count = len(texts.texts)
        best = maps.amax(dim=-1)[:, :count]
        results = self._with_crops(backbone, pixels, rivals, maps, features.grid, best)
        scale = torch.where(best > 0, results / best.clamp(min=1e-12), 1.0)
        return Evidence(
            patches=maps[:, :count] * scale[..., None],
            similarity=maps[:, :count],
            image=cosine(features.image, texts.labels),
            grid=features.grid,
        )

    def _with_crops(
        self,
        backbone: Backbone,
        pixels: Tensor,
        rivals: Tensor,
        maps: Tensor,
        grid: PatchGrid,
        best: Tensor,
    ) -> Tensor:
        """Return the results (B, C), of which those of candidates include their crops."""
        if not self.crops:
            return best
        lowest, highest = torch.aminmax(maps.flatten(1), dim=1)
        level = lowest + self.candidate_level * (highest - lowest)
        candidates = (best > level[:, None]).nonzero().tolist()
        results = best.clone()
        for start in range(0, len(candidates), _CROPS):
            part = candidates[start : start + _CROPS]
            prepared = [
                crop_and_mask(backbone, pixels[image], grid.to_map(maps[image, text]))
                for image, text in part
            ]
            crops, masks = (torch.stack(list(tensors)) for tensors in zip(*prepared, strict=True))
            features = limited_image_features(backbone.tower, crops, masks.flatten(1))
            shares = (backbone.logit_scale * cosine(features, rivals)).softmax(dim=-1)
            for (image, text), of_crop in zip(part, shares, strict=True):
                results[image, text] = torch.lerp(
                    best[image, text], of_crop[text].to(best), self.crop_share
                )
        return results


class Agreement:
    """The mean attention of the later blocks, where enough blocks attend more than on average.

    Args:
        blocks: number of blocks of the tower. The last one attends to the patch itself alone.
    """

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._first = min(max(1, round(MIDDLE * blocks)), blocks - 1)
        self._votes: Tensor | None = None
        self._sum: Tensor | None = None

    def add(self, number: int, attention: Tensor) -> None:
        """Add the attention (B, P, P) of a block before the last, counted from 1."""
        vote = (attention > attention.mean(dim=(1, 2), keepdim=True)).to(attention.dtype)
        self._votes = vote if self._votes is None else self._votes + vote
        if number >= self._first:
            self._sum = attention if self._sum is None else self._sum + attention

    def attention(self) -> Tensor:
        """Return the mean attention (B, P, P), 0 where too few blocks agree."""
        assert self._votes is not None
        assert self._sum is not None
        itself = torch.eye(self._votes.shape[-1], device=self._votes.device)
        enough = self._votes + itself >= math.ceil(VOTES * self._blocks)
        return self._sum * enough / (self._blocks - self._first)


def refined_maps(probability: Tensor, attention: Tensor, grid: PatchGrid) -> Tensor:
    """Return the maps (B, C, P) that attention (B, P, P) makes of probabilities (B, C, P).

    A map is first refined from all patches; then again, from the patches in boxes around the parts
    of the first result that are above its mean after min-max scaling.
    """
    first = probability @ attention.mT
    lowest, highest = first.amin(dim=-1, keepdim=True), first.amax(dim=-1, keepdim=True)
    levels = rescale(first, lowest, highest)
    parts = grid.to_map(levels >= levels.mean(dim=-1, keepdim=True))
    inside = grid.from_map(box_masks(parts.flatten(0, 1))).view_as(probability)
    return (probability * inside) @ attention.mT


def crop_and_mask(backbone: Backbone, pixels: Tensor, one_map: Tensor) -> tuple[Tensor, Tensor]:
    """Return a crop around the upper half of a map's range, and which of its patches are in it.

    Args:
        backbone: the model.
        pixels: normalised pixels of one image (3, H, W).
        one_map: map of a class (rows, columns).

    Returns:
        Pixels (3, h, w) at the model's own size, and a mask of their patches.
    """
    patch = backbone.tower.patch_size
    side = max(1, round(backbone.image_size / patch))
    level = rescale(one_map, one_map.amin(), one_map.amax())
    inside = level > 0.5
    if not inside.any():  # the map is flat
        inside = torch.ones_like(inside)
    rows, columns = inside.any(dim=1).nonzero()[:, 0], inside.any(dim=0).nonzero()[:, 0]
    top, bottom = int(rows[0]), int(rows[-1]) + 1
    left, right = int(columns[0]), int(columns[-1]) + 1
    part = pixels[None, :, patch * top : patch * bottom, patch * left : patch * right]
    crop = interpolate(part, size=(side * patch,) * 2, mode="bilinear", align_corners=False)[0]
    return crop, resized_mask(inside[top:bottom, left:right], side, side)
