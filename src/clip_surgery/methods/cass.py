"""CASS: keys of the last block joined with a companion's low-rank graph, and texts that move.

Source: Kim, Ju, Han, Yang, Hwang, "Distilling Spectral Graph for Object-Context Aware Open-
Vocabulary Semantic Segmentation" (CVPR 2025, arXiv 2411.17150). The published companion is DINO
ViT-B/8 (timm:vit_base_patch8_224.dino). Each data set has its own `global_share`, `text_shift` and
`cut` (see `evaluation.protocols.benchmarks`); the defaults are those of ADE20K. Differences from
the released code: the companion sees the window with its aspect ratio, where the code squashes it
to a square; a graph keeps 95 % of the sum of all its singular values, where the code keeps ten
whatever their sum, and heads are joined with the partner of their pairing, where the code swaps the
indices of the pair (`variant="released"`); singular values are stretched on every data set; the
class token is that of the window; the image feature remains the model's own. Refinement on pixels,
windows and thresholds are not part of the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import join_heads, split_heads
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.companion_method import CompanionMethod
from clip_surgery.methods.moved_texts import MovedTexts
from clip_surgery.surgery.attention import gaussian_bumps
from clip_surgery.surgery.companion_features import companion_heads, resample_patches
from clip_surgery.surgery.heads import project_heads
from clip_surgery.surgery.last_block import enter_last_block, without_prefix
from clip_surgery.surgery.outliers import fill_outliers, find_outliers
from clip_surgery.surgery.spectral_graphs import Variant, joined_graphs
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import Watch
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class Cass(MovedTexts, CompanionMethod):
    """The patch output of the last block is O(softmax(G + W) v), G the joined graphs of keys.

    G is (10 w K + s k k^T) / (10 w + 1), K the companion's graph, w the distance of the spectra of
    a pair of heads, and W a Gaussian of the distance between patches. The residual connection and
    the feed-forward of the block are left out. The similarity that segmentation compares is the
    cosine with moved texts, and a share of the image's cosine.

    Attributes:
        weight: factor on the distance of two heads.
        kept: share of the sum of singular values that a companion's graph keeps, in (0, 1].
        std: standard deviation of the Gaussian, in patches.
        variant: "paper", or "released" with the errors of the code.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if variant is unknown.
    """

    name = "cass"
    paper = "CASS (CVPR 2025, arXiv 2411.17150)"

    weight: float = 10.0
    kept: float = 0.95
    std: float = 5.0
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in get_args(Variant):
            raise UnknownNameError.among("variant", self.variant, get_args(Variant))
        if not 0 <= self.weight < float("inf"):
            raise InputError(f"Expected weight of 0 or more, but got {self.weight}.")
        if not 0 < self.kept <= 1:
            raise InputError(f"Expected kept in (0, 1], but got {self.kept}.")
        if not self.std > 0:
            raise InputError(f"Expected std above 0 patches, but got {self.std}.")

    def features_for(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Features:
        """Return features with the attention of the joined graphs as the only output."""
        blocks = len(backbone.tower.blocks)
        watch = Watch(heads=(1 - 1 / blocks,) if self.repair_outliers else ())
        last = enter_last_block(backbone.tower, pixels, watch)
        tokens = last.tokens
        if self.repair_outliers:
            outliers = find_outliers(last.seen.heads[last.seen.blocks - 1])
            tokens = last.with_patches(fill_outliers(last.patches, outliers, last.grid))
        block = last.tower.blocks[-1]
        heads = without_prefix(project_heads(last.tower, block, tokens, last.grid))
        other = companion_heads(backbone, pixels)
        keys = resample_patches(join_heads(other.key), other.grid, last.grid)
        partners = split_heads(keys, other.key.shape[1]).to(heads.key.device)
        nearness = gaussian_bumps(last.grid, self.std).to(heads.key.device)
        received = []
        for key, partner, value in zip(heads.key, partners, heads.value, strict=True):
            graphs = joined_graphs(
                key.float(),
                partner.float(),
                scale=heads.scale,
                weight=self.weight,
                kept=self.kept,
                variant=self.variant,
            )
            received.append((graphs + nearness).softmax(dim=-1).to(value.dtype) @ value)
        output = block.attention.project_out(join_heads(torch.stack(received)))
        return Features(image=last.image(), patches=last.tower.project(output), grid=last.grid)
