"""Small backbones of every kind of tower that can be read, built without downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from types import MappingProxyType

import torch
from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import UnknownNameError
from clip_surgery.testing.tiny_models.companions import with_tiny_companion
from clip_surgery.testing.tiny_models.hugging_face import tiny_hugging_face, tiny_transformers
from clip_surgery.testing.tiny_models.open_clip import tiny_coca, tiny_open_clip, tiny_resnet
from clip_surgery.testing.tiny_models.timm import (
    tiny_eva,
    tiny_pe,
    tiny_timm_siglip,
    tiny_vitamin,
)

TINY_MODELS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "open_clip": tiny_open_clip,
        "hugging_face": tiny_hugging_face,
        "open_clip_resnet": tiny_resnet,
        "open_clip_coca": tiny_coca,
        "timm_siglip": tiny_timm_siglip,
        "timm_eva": tiny_eva,
        "timm_pe": tiny_pe,
        "timm_vitamin": tiny_vitamin,
        "hugging_face_siglip": partial(tiny_transformers, "siglip"),
        "hugging_face_siglip2": partial(tiny_transformers, "siglip2"),
        "hugging_face_altclip": partial(tiny_transformers, "altclip"),
        "hugging_face_chinese_clip": partial(tiny_transformers, "chinese_clip"),
        "hugging_face_metaclip2": partial(tiny_transformers, "metaclip_2"),
    }
)
"""A builder for each kind of tower; it takes the seed of the random weights."""

REPRESENTATIVES = ("open_clip", "hugging_face", "open_clip_resnet", "timm_siglip", "timm_eva")
"""One tower of each library and mechanism.

They are a ViT with class token of open_clip and of transformers, a ResNet with attention pool, and
two towers of timm: a SigLIP, which is pooled by a learnt query, and an EVA with rotary positions.
"""


def tiny_backbones(names: Iterable[str] | None = None) -> dict[str, Backbone]:
    """Return new backbones with random weights, by the name of their kind.

    A model has images of 32 or 64 px and between one and four blocks of width 32 (128 for the
    ResNet), so that a call takes milliseconds. Each has a small DINO as companion.

    Args:
        names: keys of `TINY_MODELS`, or that mapping for all kinds; by default `REPRESENTATIVES`,
            as far as their libraries are installed.

    Raises:
        UnknownNameError: if there is no such kind.

    Example:
        >>> tiny_backbones(["open_clip"])["open_clip"].tower.patch_size
        8
    """
    chosen = _installed(REPRESENTATIVES) if names is None else tuple(names)
    for name in chosen:
        if name not in TINY_MODELS:
            raise UnknownNameError.among("tiny backbone", name, TINY_MODELS)
    with torch.random.fork_rng(devices=[]):  # the builders seed the global generator
        return {
            name: with_tiny_companion(wrap_backbone(TINY_MODELS[name](seed=0), name=name))
            for name in chosen
        }


def _installed(names: Iterable[str]) -> tuple[str, ...]:
    """The names whose library is installed; open_clip and timm always are."""
    if find_spec("transformers") is not None:
        return tuple(names)
    return tuple(name for name in names if not name.startswith("hugging_face"))
