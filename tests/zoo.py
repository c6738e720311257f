"""Tiny random models of every kind of tower that can be read, of the true classes.

open_clip's timm towers are built by open_clip itself from the names of its configurations; only
their sizes are changed on the way to timm. `TOWERS` names one builder a kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from tests.towers import (
    BPE_WORDS,
    END,
    START,
    shaken,
    tiny_config,
    tiny_hugging_face,
    tiny_open_clip,
)

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
    vision = {"timm_model_name": name, "timm_pool": pool, "timm_proj": proj}
    sizes = {**SMALL, **shrunk}
    with shrunk_timm(**sizes):
        return _with_tower({**vision, "image_size": sizes["img_size"]}, joint, text or {}, seed)


@contextmanager
def shrunk_timm(**sizes: Any) -> Iterator[None]:
    """Have timm build every model in these sizes."""
    import timm

    real = timm.create_model
    with mock.patch("timm.create_model", lambda name, **given: real(name, **sizes, **given)):
        yield


def _with_tower(vision: dict[str, Any], joint: int, text: dict[str, Any], seed: int) -> nn.Module:
    from open_clip import CustomTextCLIP

    torch.manual_seed(seed)
    model = CustomTextCLIP(joint, vision, {**TEXT, **text})
    with torch.no_grad():
        for part, weight in model.visual.named_parameters():
            if part.endswith(("pos_embed", "cls_token", "reg_token", "latent")):
                weight.normal_(std=0.3)
            elif weight.ndim == 2:  # timm's are so small that all patches come out alike
                weight.normal_(std=weight.shape[1] ** -0.5)
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
    return tiny_timm("vit_pe_core_base_patch16_224", seed, pool="map", proj=None, **heads, **shrunk)


def tiny_vitamin(seed: int = 0) -> nn.Module:
    """ViTamin: a convolutional stem, no class token, mean pool; timm's own names are too wide."""
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
        assert not pretrained
        trunk = VisionTransformer(
            **{**SMALL, "img_size": 64, "patch_size": 1},
            embed_layer=partial(HybridEmbed, backbone=MbConvStages(widths), proj=False),
            mlp_layer=GeGluMlp,
            mlp_ratio=2.0,
            class_token=False,
            global_pool="avg",
            **settings,
        )
        trunk.default_cfg = {}  # what open_clip asks and only timm's own builder writes down
        return trunk

    vision = {"timm_model_name": "vitamin", "timm_pool": "", "timm_proj": "linear"}
    with mock.patch("timm.create_model", create):
        return _with_tower({**vision, "image_size": 64}, 24, {}, seed)


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

    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 128}
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
        vision_config={
            **sizes,
            "num_hidden_layers": 3,
            "image_size": 32,
            "patch_size": 8,
            **vision,
        },
    )


def tiny_transformers(
    kind: str,
    seed: int = 0,
    *,
    text: dict[str, Any] | None = None,
    vision: dict[str, Any] | None = None,
) -> nn.Module:
    """A model of transformers by its model_type: "siglip", "siglip2", "altclip", ..."""
    from transformers import AutoModel

    of_text = {
        "siglip": {"projection_size": 32},
        "siglip2": {"projection_size": 32},
        "altclip": {"max_position_embeddings": 80, "project_dim": 24},
        "chinese_clip": {"max_position_embeddings": 77},
    }.get(kind, {})
    of_vision = {"num_patches": 16} if kind == "siglip2" else {}
    config = _hugging_face_config(
        kind, {**of_text, **(text or {})}, {**of_vision, **(vision or {})}
    )
    if hasattr(config, "projection_dim"):
        config.projection_dim = 24
    torch.manual_seed(seed)
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for weight in model.text_model.parameters():
            if weight.ndim == 2:  # BERT's are so small that all texts come out alike
                weight.normal_(std=weight.shape[1] ** -0.5)
    return shaken(model)


def _with_statistics(model: nn.Module, seed: int) -> nn.Module:
    """Random running statistics of batch norms: zeros and ones would hide a wrong one."""
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(std=0.2)
            module.running_var.uniform_(0.5, 1.5)
    return model


def transformers_of(kind: str) -> Callable[..., nn.Module]:
    """The builder of one model_type."""
    return partial(tiny_transformers, kind)


TOWERS: dict[str, Callable[..., nn.Module]] = {
    "open_clip": tiny_open_clip,
    "hugging_face": tiny_hugging_face,
    "open_clip_resnet": tiny_resnet,
    "open_clip_coca": tiny_coca,
    "timm_siglip": tiny_timm_siglip,
    "timm_eva": tiny_eva,
    "timm_pe": tiny_pe,
    "timm_vitamin": tiny_vitamin,
    "hugging_face_siglip": transformers_of("siglip"),
    "hugging_face_siglip2": transformers_of("siglip2"),
    "hugging_face_altclip": transformers_of("altclip"),
    "hugging_face_chinese_clip": transformers_of("chinese_clip"),
    "hugging_face_metaclip2": transformers_of("metaclip_2"),
}


def image_features(model: nn.Module, pixels: Tensor) -> Tensor:
    """The library's own image feature, not normalised."""
    if hasattr(model, "encode_image"):
        return model.encode_image(pixels, normalize=False)
    if type(model).__name__ != "Siglip2Model":
        return model.get_image_features(pixels).pooler_output
    side = model.vision_model.embeddings.patch_size
    rows, columns = pixels.shape[-2] // side, pixels.shape[-1] // side
    patches = pixels.reshape(len(pixels), 3, rows, side, columns, side)
    return model.get_image_features(
        patches.permute(0, 2, 4, 3, 5, 1).reshape(len(pixels), rows * columns, -1),
        pixel_attention_mask=torch.ones(len(pixels), rows * columns, dtype=torch.int64),
        spatial_shapes=torch.tensor([[rows, columns]] * len(pixels)),
    ).pooler_output


def text_features(model: nn.Module, ids: Tensor) -> Tensor:
    """The library's own text feature, not normalised."""
    if hasattr(model, "encode_text"):
        return model.encode_text(ids, normalize=False)
    masked = type(model).__name__ in {"AltCLIPModel", "ChineseCLIPModel"}
    mask = {"attention_mask": (ids != 0).long()} if masked else {}
    return model.get_text_features(ids, **mask).pooler_output
