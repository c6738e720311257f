"""Tiny random models of every kind of tower that can be read, of the true classes.

open_clip's timm towers are built by open_clip itself from the names of its configurations; only
their sizes are changed on the way to timm. `TOWERS` names one builder a kind.
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import torch
from torch import nn

from tests.towers import BPE_WORDS, END, START, shaken, tiny_config, tiny_hugging_face, tiny_open_clip

TEXT = {"context_length": 16, "vocab_size": BPE_WORDS, "width": 32, "heads": 2, "layers": 2}
SIGLIP_TEXT = {
    **TEXT,
    "no_causal_mask": True,
    "proj_bias": True,
    "pool_type": "last",
    "norm_kwargs": {"eps": 1e-6},
}
SMALL = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}


def tiny_resnet(seed: int = 0, *, image_size: int = 64, heads: int = 4) -> nn.Module:
    """An open_clip CLIP with a `ModifiedResNet`: one bottleneck a stage, pool 2 x 2 of 128 wide."""
    visual = {"layers": [1, 1, 1, 1], "width": 4, "image_size": image_size, "patch_size": None}
    model = tiny_open_clip(seed, visual={**visual, "head_width": 4 * 32 // heads})
    return _with_statistics(model, seed)


def tiny_timm(
    name: str,
    seed: int = 0,
    *,
    pool: str = "",
    proj: str | None = "linear",
    joint: int = 24,
    text: dict[str, Any] | None = None,
    **shrunk: Any,
) -> nn.Module:
    """An open_clip CustomTextCLIP with a timm tower of that name, its sizes changed by `shrunk`."""
    import timm
    from open_clip import CustomTextCLIP

    # None leaves a size as timm has it
    wanted_sizes = {**SMALL, **shrunk}
    real, sizes = timm.create_model, {k: v for k, v in wanted_sizes.items() if v is not None}

    def create(wanted: str, **settings: Any) -> nn.Module:
        return real(wanted, **sizes, **settings)

    vision = {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj}
    torch.manual_seed(seed)
    with mock.patch("timm.create_model", create):
        model = CustomTextCLIP(
            joint, {**vision, "image_size": sizes["img_size"]}, {**TEXT, **(text or {})}
        )
    with torch.no_grad():
        for part, weight in model.visual.named_parameters():
            if part.endswith(("pos_embed", "cls_token", "reg_token", "latent")):
                weight.normal_(std=0.3)
    return _with_statistics(shaken(model), seed)


def tiny_timm_siglip(seed: int = 0, **shrunk: Any) -> nn.Module:
    """SigLIP as open_clip has it."""
    return tiny_timm(
        "vit_base_patch16_siglip_224",
        seed,
        pool="map",
        proj="none",
        joint=32,
        text=SIGLIP_TEXT,
        **shrunk,
    )


def tiny_eva(seed: int = 0, **shrunk: Any) -> nn.Module:
    """EVA-02: rotary positions, gated feed-forward, norms inside."""
    return tiny_timm("eva02_base_patch16_clip_224", seed, pool="token", proj=None, **shrunk)


def tiny_pe(seed: int = 0, **shrunk: Any) -> nn.Module:
    """Perception Encoder: class token, rotary positions and a learnt query."""
    heads = {"attn_pool_num_heads": 4}
    return tiny_timm(
        "vit_pe_core_base_patch16_224", seed, pool="map", proj=None, **heads, **shrunk
    )


def tiny_vitamin(seed: int = 0) -> nn.Module:
    """ViTamin: a convolutional stem (its widths are fixed), no class token, mean pool."""
    return tiny_timm(
        "vitamin_small_224", seed, img_size=64, patch_size=None, embed_dim=None, depth=2
    )


def tiny_coca(seed: int = 0, **visual: Any) -> nn.Module:
    """CoCa: learnt queries pool, a class token behind the text."""
    from open_clip import CoCa

    torch.manual_seed(seed)
    text = {**TEXT, "embed_cls": True, "output_tokens": True}
    vision = {"attentional_pool": True, "attn_pooler_heads": 4, "output_tokens": True, **visual}
    config = tiny_config(visual=vision)["vision_cfg"]
    decoder = {**TEXT, "layers": 1, "dim_head": 16}
    return shaken(CoCa(24, decoder, text, config))


def _hugging_face_config(kind: str, text: dict[str, Any], vision: dict[str, Any]) -> Any:
    from transformers import AutoConfig

    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    return AutoConfig.for_model(
        kind,
        text_config={
            **sizes,
            "num_hidden_layers": 2,
            "vocab_size": BPE_WORDS,
            "max_position_embeddings": 16,
            "bos_token_id": START,
            "eos_token_id": END,
            "pad_token_id": 0,
            **text,
        },
        vision_config={**sizes, "num_hidden_layers": 3, "image_size": 32, "patch_size": 8, **vision},
    )


def tiny_transformers(kind: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A model of transformers by its model_type: "siglip", "siglip2", "altclip", ..."""
    from transformers import AutoModel

    text = {
        "siglip": {"projection_size": 32},
        "siglip2": {"projection_size": 32},
        "altclip": {"max_position_embeddings": 80, "project_dim": 24},
        "chinese_clip": {"max_position_embeddings": 77},
        "metaclip_2": {"projection_dim": 24},
    }[kind]
    vision = {"siglip2": {"num_patches": 16}, "metaclip_2": {"projection_dim": 24}}.get(kind, {})
    config = _hugging_face_config(kind, {**text, **changes}, vision)
    if hasattr(config, "projection_dim"):
        config.projection_dim = 24
    torch.manual_seed(seed)
    return shaken(AutoModel.from_config(config))


def _with_statistics(model: nn.Module, seed: int) -> nn.Module:
    """Random running statistics of batch norms: zeros and ones would hide a wrong one."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


TOWERS = {
    "open_clip": tiny_open_clip,
    "hugging_face": tiny_hugging_face,
    "open_clip_resnet": tiny_resnet,
    "open_clip_coca": tiny_coca,
    "timm_siglip": tiny_timm_siglip,
    "timm_eva": tiny_eva,
    "timm_pe": tiny_pe,
    "timm_vitamin": tiny_vitamin,
    "hugging_face_siglip": lambda seed=0: tiny_transformers("siglip", seed),
    "hugging_face_siglip2": lambda seed=0: tiny_transformers("siglip2", seed),
    "hugging_face_altclip": lambda seed=0: tiny_transformers("altclip", seed),
    "hugging_face_chinese_clip": lambda seed=0: tiny_transformers("chinese_clip", seed),
    "hugging_face_metaclip2": lambda seed=0: tiny_transformers("metaclip_2", seed),
}
