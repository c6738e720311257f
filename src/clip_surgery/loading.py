"""Functions that return an explainer of a model, by its name or as an object in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Unpack

from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.companion import Companion
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.backbones.loading import load_backbone, wrap_backbone
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.explainer import Explainer
from clip_surgery.settings import ExplainerSettings, SettingArguments


def load(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    positions: PositionMode = "bilinear",
    companion: str | Path | nn.Module | Companion | None = None,
    **settings: Unpack[SettingArguments],
) -> Explainer:
    """Load a model by name and return an explainer of it.

    Args:
        name: "demo", "open_clip:ViT-B-16/openai", "hugging_face:openai/clip-vit-base-patch16",
            "hf-hub:...", or a local folder.
        checkpoint: file of weights for "open_clip:ARCH".
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        dtype: "float32", "bfloat16" or "float16".
        positions: how position embeddings are resized, "bilinear" or "bicubic".
        companion: an image model without texts, such as "timm:vit_base_patch8_224.dino", for
            methods that need one (see `load_companion`).
        settings: method, templates, framing, batch_size, cache, truncate, vocabulary and preset,
            as described in `ExplainerSettings`.

    Raises:
        UnknownNameError: if a name is unknown; the message lists similar names.
        InputError: if a setting cannot be used.
        WeightsError: if weights cannot be found, downloaded or trusted.
        UnsupportedModelError: if a part of the model cannot be read.

    Example:
        >>> load("demo", method="clip_surgery(depth=4)").method.depth
        4
    """
    explainer_settings = ExplainerSettings(**settings)
    backbone = load_backbone(
        name, checkpoint=checkpoint, device=device, dtype=dtype, positions=positions
    )
    return explainer_settings.explainer(_with_companion(backbone, companion))


def wrap(
    model: nn.Module,
    *,
    tokenizer: object | None = None,
    image_size: int | None = None,
    positions: PositionMode = "bilinear",
    companion: str | Path | nn.Module | Companion | None = None,
    **settings: Unpack[SettingArguments],
) -> Explainer:
    """Return an explainer of an open_clip or transformers model in memory, which is not changed.

    Args:
        model: the model.
        tokenizer: its tokenizer, if the model does not determine it.
        image_size: side of the square images that the model was trained with, in pixels; None
            reads it from the model.
        positions: how position embeddings are resized, "bilinear" or "bicubic".
        companion: an image model without texts, such as "timm:vit_base_patch8_224.dino", for
            methods that need one (see `load_companion`).
        settings: method, templates, framing, batch_size, cache, truncate, vocabulary and preset,
            as described in `ExplainerSettings`.

    Raises:
        UnsupportedModelError: if a part of the model cannot be read.
        InputError: if the model needs a tokenizer and none is given, or a setting cannot be used.
    """
    explainer_settings = ExplainerSettings(**settings)
    backbone = wrap_backbone(model, tokenizer=tokenizer, image_size=image_size, positions=positions)
    return explainer_settings.explainer(_with_companion(backbone, companion))


def _with_companion(
    backbone: Backbone, companion: str | Path | nn.Module | Companion | None
) -> Backbone:
    """Return the backbone with a companion on the same device and in the same dtype."""
    if companion is None:
        return backbone
    loaded = load_companion(companion, device=backbone.device, dtype=backbone.dtype)
    return replace(backbone, companion=loaded)
