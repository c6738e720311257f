"""Small models of open_clip with an image tower of timm: SigLIP, EVA, PE and ViTamin.

open_clip builds these towers itself from the names of its configurations. Only the sizes are
changed on the way to timm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import nn

from clip_surgery.testing.tiny_models.open_clip import SHORT_TEXT
from clip_surgery.testing.tiny_models.randomise import (
    randomise,
    randomise_statistics,
)

SIGLIP_TEXT = {
    **SHORT_TEXT,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
}
"""open_clip's text_cfg of a small SigLIP."""
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
"""timm's arguments for the sizes of a tower."""


def tiny_timm(
    name: str,
    seed: int = 0,
    *,
    pool: str = "",
    proj: str | None = "linear",
    joint: int = 24,
    text: dict[str, Any] | None = None,
    **sizes: Any,
) -> nn.Module:
    """Return a random open_clip `CustomTextCLIP` with the timm tower of this name.

    Args:
        name: timm's name of the tower.
        seed: seed of the weights.
        pool: open_clip's `timm_pool`.
        proj: open_clip's `timm_proj`.
        joint: width of the space that images and texts share.
        text: settings of `text_cfg` to change.
        sizes: arguments of the tower to change, see `SMALL`.
    """
    vision = {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj}
    sizes = {**SMALL, **sizes}
    with shrunk_timm(**sizes):
        return _with_tower({**vision, "image_size": sizes["img_size"]}, joint, text or {}, seed)


@contextmanager
def shrunk_timm(**sizes: Any) -> Iterator[None]:
    """Let timm build every model in these sizes, inside of a `with` statement."""
    import timm

    create_model = timm.create_model
    with mock.patch(
        "timm.create_model",
        lambda name, **arguments: create_model(name, **sizes, **arguments),
    ):
        yield


def _with_tower(vision: dict[str, Any], joint: int, text: dict[str, Any], seed: int) -> nn.Module:
    from open_clip import CustomTextCLIP

    torch.manual_seed(seed)
    model = CustomTextCLIP(joint, vision, {**SHORT_TEXT, **text})
    embeddings = ("pos_embed", "cls_token", "reg_token", "latent")
    with torch.no_grad():
        for name, weight in model.visual.named_parameters():
            if name.endswith(embeddings):
                weight.normal_(std=0.3)
            elif weight.ndim == 2:  # timm's are so small that all patches are nearly equal
                weight.normal_(std=weight.shape[1] ** -0.5)
    return randomise_statistics(randomise(model), seed)


def tiny_timm_siglip(seed: int = 0, **sizes: Any) -> nn.Module:
    """Return a SigLIP as open_clip builds it: no class token, pooled by a learnt query."""
    return tiny_timm(
        "vit_base_patch16_siglip_224",
        seed,
        pool="map",
        proj="none",
        joint=32,
        text=SIGLIP_TEXT,
        **sizes,
    )


def tiny_eva(seed: int = 0, **sizes: Any) -> nn.Module:
    """Return an EVA-02: rotary positions, gated feed-forward, norms inside of the blocks."""
    return tiny_timm("eva02_base_patch16_clip_224", seed, pool="token", proj=None, **sizes)


def tiny_pe(seed: int = 0, **sizes: Any) -> nn.Module:
    """Return a Perception Encoder: class token, rotary positions, pooled by a learnt query."""
    sizes = {"attn_pool_num_heads": 4, **sizes}
    return tiny_timm("vit_pe_core_base_patch16_224", seed, pool="map", proj=None, **sizes)


def tiny_vitamin(seed: int = 0) -> nn.Module:
    """Return a ViTamin: a convolutional stem, no class token, pooled by the mean.

    The models that timm has names for are too wide, so that the tower is built from its parts.
    """
    from timm.layers import HybridEmbed
    from timm.models.vision_transformer import VisionTransformer
    from timm.models.vitamin import GeGluMlp, MbConvStages, VitCfg, VitConvCfg

    widths = VitCfg(
        embed_dim=(8, 16, 32),
        depths=(1, 1, 1),
        stem_width=8,
        conv_cfg=VitConvCfg(norm_layer="layernorm2d", norm_eps=1e-6),
        head_type="1d",
    )

    def create(_: str, *, pretrained: bool, **settings: Any) -> nn.Module:
        if pretrained:
            raise ValueError("Expected a model with random weights, but pretrained was True.")
        trunk: nn.Module = VisionTransformer(
            **{**SMALL, "img_size": 64, "patch_size": 1},
            embed_layer=partial(HybridEmbed, backbone=MbConvStages(widths), proj=False),
            mlp_layer=GeGluMlp,
            mlp_ratio=2.0,
            class_token=False,
            global_pool="avg",
            **settings,
        )
        trunk.default_cfg = {}  # type: ignore[assignment]  # read by open_clip, set by create_model
        return trunk

    vision = {"timm_model_name": "vitamin", "timm_pool": "", "timm_proj": "linear"}
    with mock.patch("timm.create_model", create):
        return _with_tower({**vision, "image_size": 64}, 24, {}, seed)
