"""Trident: proxy attention in windows, joined by the attention of a segmenter over the image.

Source: Shi, Dong, Xu, "Harnessing Vision Foundation Models for High-Performance, Training-Free Open
Vocabulary Segmentation" (ICCV 2025, arXiv 2411.09219), with the settings of its released code: DINO
ViT-B/16 (timm:vit_base_patch16_224.dino) as companion and SAM ViT-B (facebook/sam-vit-base) as
segmenter. Differences from the code: the segmenter sees the image as the model does, where the code
reads the file again, and its sides are rounded to whole cells of the segmenter; the threshold is
that of each head of one image; a cell is always a key of itself; the proxy attention is that of
`proxy_clip`, with its differences. The splice of sub-images is the stitching of windows:
`Windows(crop=336, stride=224, stitch="outputs", weighting="equal")`. Without windows the image is
one window. The last stage of the paper, in which SAM redraws regions, is `segment(segmenter=)`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.methods.proxy_clip import proxy_outputs
from clip_surgery.methods.requirements import unsupported
from clip_surgery.methods.segmenter_method import SegmenterMethod
from clip_surgery.segmenters.image_attention import ImageAttention, attention_of_image
from clip_surgery.surgery.companion_features import resample_patches
from clip_surgery.surgery.segmented_regions import image_of_pixels
from clip_surgery.surgery.segmenter_attention import segmenter_attention
from clip_surgery.surgery.walk import Features
from clip_surgery.text.features import TextFeatures

TridentGrid = Literal["segmenter", "model"]


@dataclass(frozen=True, kw_only=True)
class Trident(SegmenterMethod):
    """The patch feature is P(M y), y the outputs of ProxyCLIP on the grid of the segmenter.

    M is the mean over heads of the last global attention of the segmenter, where the cosine of its
    values is above min(c mean, t), with rows that sum to 1; P is the final norm and projection.
    Windows of a large image are averaged before M, which spans the whole image.

    Attributes:
        centring: factor b on the mean affinity of the companion, as in `proxy_clip`.
        sharpness: factor g of the proxy attention, as in `proxy_clip`.
        key_centring: factor c on the mean cosine of the segmenter's values; the code has 3 for
            Cityscapes and 0 for VOC20.
        highest_threshold: upper bound t of the threshold on the cosine, in [-1, 1]. With 1 and a
            large `key_centring` a cell is its only key, which is ProxyCLIP.
        grid: "segmenter" gives a map of the segmenter's cells, as the code does; "model" brings
            the result to the grid of the model.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if the grid is unknown.
    """

    name = "trident"
    paper = "Trident (ICCV 2025, arXiv 2411.09219)"
    decides_by_thresholds: ClassVar[bool] = True

    centring: float = 1.2
    sharpness: float = 3.0
    key_centring: float = 1.2
    highest_threshold: float = 0.9
    grid: TridentGrid = "segmenter"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.grid not in get_args(TridentGrid):
            raise UnknownNameError.among("grid", self.grid, get_args(TridentGrid))
        for setting in ("centring", "key_centring"):
            if not 0 <= getattr(self, setting) < float("inf"):
                raise InputError(
                    f"Expected {setting} of 0 or more, but got {getattr(self, setting)}."
                )
        if not 0 < self.sharpness < float("inf"):
            raise InputError(f"Expected sharpness above 0, but got {self.sharpness}.")
        if not -1 <= self.highest_threshold <= 1:
            raise InputError(
                f"Expected highest_threshold in [-1, 1], but got {self.highest_threshold}."
            )

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return features of images that are one window each."""
        outputs = self.window_features(backbone, pixels, texts)
        return self.whole_features(backbone, pixels, outputs)

    def window_features(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return outputs of the last block with proxy attention (B, P, E), not yet projected."""
        outputs, last, grid = proxy_outputs(
            backbone,
            pixels,
            centring=self.centring,
            sharpness=self.sharpness,
            repair_outliers=self.repair_outliers,
        )
        return Features(image=last.image(), patches=outputs, grid=grid)

    def whole_features(self, backbone: Backbone, pixels: Tensor, features: Features) -> Features:
        """Return features whose patches are aggregated over the image, and projected.

        Raises:
            UnsupportedModelError: if the segmenter does not give the attention of its encoder.
            InputError: if the segmenter gives grids of different sizes for one batch.
        """
        attentions = [
            self._attention(backbone, pixels, colours, f"image {index}")
            for index, colours in enumerate(backbone.denormalise(pixels))
        ]
        received = [
            segmenter_attention(
                attention,
                resample_patches(outputs[None], features.grid, attention.grid)[0],
                centring=self.key_centring,
                highest=self.highest_threshold,
            )
            for attention, outputs in zip(attentions, features.patches, strict=True)
        ]
        grid = attentions[0].grid
        if any(attention.grid != grid for attention in attentions):
            raise InputError(
                "Expected grids of one size from the segmenter for images of one size, but got "
                f"{sorted({(a.grid.rows, a.grid.columns) for a in attentions})}."
            )
        patches = torch.stack(received)
        if self.grid == "model":
            target = backbone.tower.grid(pixels)
            patches, grid = resample_patches(patches, grid, target), target
        return replace(features, patches=backbone.tower.project(patches), grid=grid)

    def _attention(
        self, backbone: Backbone, pixels: Tensor, colours: Tensor, name: str
    ) -> ImageAttention:
        """The attention of the segmenter for one image (3, H, W) in [0, 1]."""
        segmenter = self.load_segmenter(pixels.device)
        try:
            return attention_of_image(segmenter, image_of_pixels(colours, name))
        except UnsupportedModelError as error:
            raise unsupported(
                backbone,
                f"{self.name} needs a segmenter with attention. {error}",
                purpose=self.name,
                part="segmenter",
            ) from error
