"""Loading: a model's name, or a model in memory, to an Explainer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.loading import load_backbone, wrap_backbone
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.explainer import Explainer
from clip_surgery.framing import FramingRule
from clip_surgery.inputs.vocabulary import resolve_vocabulary
from clip_surgery.methods.method import Method
from clip_surgery.methods.registry import as_method
from clip_surgery.text.cache import TextCache
from clip_surgery.text.templates import resolve_templates


def load(
    name: str,
    *,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    dtype: str = "float32",
    positions: PositionMode = "bilinear",
    method: str | Method = "clip_surgery",
    templates: str | Sequence[str] = "clip_surgery",
    framing: FramingRule | None = None,
    batch_size: int = 8,
    cache: bool = True,
    truncate: bool = False,
    vocabulary: str | Sequence[str] | None = None,
) -> Explainer:
    """Load a model by name and make an explainer of it.

    Args:
        name: "demo", "open_clip:ViT-B-16/openai", "hugging_face:openai/clip-vit-base-patch16",
            "hf-hub:...", or a local folder.
        checkpoint: weights file for "open_clip:ARCH".
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        dtype: "float32", "bfloat16" or "float16".
        positions: how position embeddings are resized, "bilinear" or "bicubic".
        method: a method's name, also with settings as in "clip_surgery(depth=8)", or a method.
        templates: a set's name, one template with "{}", or several.
        framing: how images are laid into the frame, keep-ratio at the model's size if None.
        batch_size: images that run together.
        cache: keep text features on disk.
        truncate: cut texts over the context length instead of refusing them.
        vocabulary: reference words, for presence and for `redundancy="vocabulary"`; "common"
            is a bundled list of common nouns (the model's own words, where it knows few).

    Raises:
        UnknownNameError: for a name that is not registered; it lists the near ones.
        WeightsError: when weights cannot be found, fetched or trusted.
        UnsupportedModelError: when a part of the model cannot be read.

    Example:
        >>> load("demo", method="similarity").method
        Similarity(redundancy='none', weighting='reference', temperature=2.0, repair_outliers=False)
    """
    backbone = load_backbone(
        name, checkpoint=checkpoint, device=device, dtype=dtype, positions=positions
    )
    return _assemble(backbone, method, templates, framing, batch_size, cache, truncate, vocabulary)


def wrap(
    model: nn.Module,
    *,
    tokenizer: object | None = None,
    image_size: int | None = None,
    positions: PositionMode = "bilinear",
    method: str | Method = "clip_surgery",
    templates: str | Sequence[str] = "clip_surgery",
    framing: FramingRule | None = None,
    batch_size: int = 8,
    cache: bool = True,
    truncate: bool = False,
    vocabulary: str | Sequence[str] | None = None,
) -> Explainer:
    """Make an explainer of an open_clip or transformers model in memory; the model is only read.

    Raises:
        UnsupportedModelError: when a part of the model cannot be read.
        InputError: when the model needs a tokenizer and none is given.
    """
    backbone = wrap_backbone(model, tokenizer=tokenizer, image_size=image_size, positions=positions)
    return _assemble(backbone, method, templates, framing, batch_size, cache, truncate, vocabulary)


def _assemble(
    backbone: Backbone,
    method: str | Method,
    templates: str | Sequence[str],
    framing: FramingRule | None,
    batch_size: int,
    cache: bool,
    truncate: bool,
    vocabulary: str | Sequence[str] | None,
) -> Explainer:
    return Explainer(
        backbone=backbone,
        method=as_method(method),
        templates=resolve_templates(templates),
        framing=framing or FramingRule(),
        batch_size=batch_size,
        cache=TextCache() if cache else None,
        truncate=truncate,
        vocabulary=resolve_vocabulary(vocabulary, known=backbone.nouns),
    )
