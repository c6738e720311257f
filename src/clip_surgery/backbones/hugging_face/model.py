"""Read CLIP, MetaCLIP 2, AltCLIP, Chinese-CLIP, SigLIP or SigLIP 2 of transformers as a `Backbone`.

Only parameters and public submodules are used, whose names are the same in versions 4 and 5. A
model is recognised by the name of its class, because not every version has every class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.fingerprint import Fingerprint
from clip_surgery.backbones.hugging_face.clip import (
    read_bert_text,
    read_causal_text,
    read_class_token_tower,
)
from clip_surgery.backbones.hugging_face.siglip import (
    native_size,
    read_siglip_text,
    read_siglip_tower,
)
from clip_surgery.backbones.patch_embedding import OPENAI_MEAN, OPENAI_STD, SIGLIP_MEAN, SIGLIP_STD
from clip_surgery.backbones.positions import PositionMode, check_position_mode
from clip_surgery.backbones.tokenizers import tokenizer_signature
from clip_surgery.backbones.tower import TextTower, Tower
from clip_surgery.errors import UnsupportedModelError

Channels = tuple[float, float, float]


class _Family(NamedTuple):
    """The functions that read one class of models, and the normalisation of its pixels."""

    read_tower: Callable[[Any, PositionMode], Tower]
    read_text: Callable[[Any, Any], TextTower]
    mean: Channels
    std: Channels


_CLIP = _Family(read_class_token_tower, read_causal_text, OPENAI_MEAN, OPENAI_STD)
_BERT = _Family(read_class_token_tower, read_bert_text, OPENAI_MEAN, OPENAI_STD)
_SIGLIP = _Family(read_siglip_tower, read_siglip_text, SIGLIP_MEAN, SIGLIP_STD)
_FAMILIES = {
    "CLIPModel": _CLIP,
    "MetaClip2Model": _CLIP,
    "AltCLIPModel": _BERT,
    "ChineseCLIPModel": _BERT,
    "SiglipModel": _SIGLIP,
    "Siglip2Model": _SIGLIP,
}


def read_hugging_face(
    model: nn.Module,
    *,
    name: str,
    tokenizer: Any = None,
    image_size: int | None = None,
    image_mean: Channels | None = None,
    image_std: Channels | None = None,
    positions: PositionMode = "bilinear",
) -> Backbone:
    """Return the Backbone of a CLIP model of transformers; the model is not changed.

    Args:
        model: a model of one of the classes that the first line of this module names.
        name: name of the model in reports.
        tokenizer: the tokenizer of the model; None for the tokenizer of CLIP.
        image_size: side in pixels of the images given to the model; None for the native size.
        image_mean: mean of each channel for pixels in [0, 1]; None for that of the model family.
        image_std: standard deviation of each channel; None for that of the model family.
        positions: interpolation of position embeddings, "bilinear" or "bicubic".

    Raises:
        UnsupportedModelError: if the model is of another class.
        InputError: if the vocabulary of the model is not that of CLIP and no tokenizer is given.
    """
    check_position_mode(positions)
    family = _family(model)
    text: Any = model.text_model
    if tokenizer is None:
        from clip_surgery.backbones.open_clip.tokenizer import default_tokenizer

        tokenizer = default_tokenizer(
            text.config.vocab_size, min(77, text.config.max_position_embeddings)
        )
    text_tower = family.read_text(model, tokenizer)
    logit_scale: Any = model.logit_scale
    return Backbone(
        name=name,
        tower=family.read_tower(model, positions),
        text_tower=text_tower,
        image_size=image_size or native_size(model),
        image_mean=image_mean or family.mean,
        image_std=image_std or family.std,
        logit_scale=logit_scale.detach().float().exp().item(),
        model=model,
        fingerprint=Fingerprint(
            model,
            skip=("vision_model.", "visual_projection.", "logit_"),
            settings=_text_settings(text) + tokenizer_signature(text_tower.tokenize),
        ),
    )


def _family(model: nn.Module) -> _Family:
    for base in type(model).__mro__:
        if base.__name__ in _FAMILIES and base.__module__.startswith("transformers."):
            return _FAMILIES[base.__name__]
    raise UnsupportedModelError(
        f"Expected one of transformers' {', '.join(_FAMILIES)}, but got {type(model).__qualname__}."
    )


def _text_settings(text: Any) -> str:
    """The settings on which text features depend, in addition to the weights."""
    config = text.config
    return f"{config.num_attention_heads} {text} {config.eos_token_id} {config.pad_token_id} "
