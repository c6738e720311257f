"""Small models of timm without texts: DINO, DINOv2 and DINOv3."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.testing.tiny_models.randomise import randomise, rescale_matrices

TINY_COMPANIONS: Mapping[str, tuple[str, dict[str, Any]]] = MappingProxyType(
    {
        "dino": ("vit_small_patch16_224.dino", {"patch_size": 8}),
        "dinov2": ("vit_small_patch14_dinov2", {"patch_size": 14, "img_size": 56}),
        "dinov2_registers": ("vit_small_patch14_reg4_dinov2", {"patch_size": 7, "img_size": 28}),
        "dinov3": ("vit_small_patch16_dinov3", {"patch_size": 16, "img_size": 64}),
    }
)
"""timm's name and the sizes of each kind of companion."""


def tiny_companion(kind: str = "dino", seed: int = 0, **sizes: Any) -> nn.Module:
    """Return a random model of timm of this kind, two blocks of width 32.

    Args:
        kind: a key of `TINY_COMPANIONS`.
        seed: seed of the weights.
        sizes: arguments of timm to change, such as `patch_size`.
    """
    import timm

    name, own_sizes = TINY_COMPANIONS[kind]
    small = {"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 2, "num_classes": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = timm.create_model(
            name, pretrained=False, **{**small, **own_sizes, **sizes}
        )
        rescale_matrices(model)
        with torch.no_grad():
            for part, weight in model.named_parameters():
                if part.endswith(("pos_embed", "cls_token", "reg_token")):
                    weight.normal_(std=0.3)
                elif "gamma" in part:  # the layer scale of timm hardly lets a block change a token
                    weight.fill_(0.5)
        return randomise(model)


def with_tiny_companion(backbone: Backbone) -> Backbone:
    """Return the backbone with a random companion that has the same patch size."""
    side = backbone.tower.patch_size
    model = tiny_companion("dino", patch_size=side, img_size=4 * side)
    return replace(backbone, companion=load_companion(model))
