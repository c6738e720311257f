"""Read the text towers of open_clip: those of CLIP, CustomTextCLIP and CoCa.

A `CLIP` has the parts of its text tower on the model itself, the others in the attribute `text`.
Two kinds of towers are run by open_clip itself: that of CoCa, whose class token comes after the
padding and has a special mask, and those of transformers (XLM-RoBERTa, mT5, NLLB, ...).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from clip_surgery.backbones.opaque_text import opaque_text_tower
from clip_surgery.backbones.open_clip.blocks import read_block
from clip_surgery.backbones.open_clip.tokenizer import CONTEXT_LENGTH, default_tokenizer
from clip_surgery.backbones.tokenizers import tokenize_with
from clip_surgery.backbones.tower import TextTower, TokenMap
from clip_surgery.errors import UnsupportedModelError


def read_text_tower(model: Any, tokenizer: Any) -> TextTower:
    """Return the text tower of a model of open_clip.

    Args:
        model: a `CLIP`, `CustomTextCLIP` or `CoCa`.
        tokenizer: the tokenizer of the model; None for the tokenizer of CLIP.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
        InputError: if the tokenizer is of an unknown class, or if it is None and the vocabulary of
            the model is not that of CLIP.
    """
    text = getattr(model, "text", model)
    if _is_opaque(text):
        return _read_opaque(model, text, tokenizer)
    _check_text(text)
    if tokenizer is None:
        tokenizer = default_tokenizer(text.token_embedding.num_embeddings, text.context_length)

    def embed(token_ids: Tensor, start: int = 0) -> Tensor:
        tokens = text.token_embedding(token_ids).to(text.transformer.get_cast_dtype())
        positions = text.positional_embedding[start : start + token_ids.shape[1]]
        embedded: Tensor = tokens + positions.to(tokens.dtype)
        return embedded

    def project(tokens: Tensor) -> Tensor:
        normed: Tensor = text.ln_final(tokens)
        if text.text_projection is None:
            return normed
        head = text.text_projection
        projected: Tensor = head(normed) if isinstance(head, nn.Linear) else normed @ head
        return projected

    return TextTower(
        tokenize=tokenize_with(tokenizer, context_length=int(text.context_length)),
        embed=embed,
        blocks=tuple(read_block(block) for block in text.transformer.resblocks),
        project=project,
        end_positions=_END_POSITIONS[_pool_type(text)](_end_token(text)),
        causal=text.attn_mask is not None,
        context_length=int(text.context_length),
        width=int(text.token_embedding.weight.shape[1]),
    )


def text_settings(model: Any) -> str:
    """Return the settings on which text features depend: heads, activation, norms, pooling."""
    text = getattr(model, "text", model)
    if _is_hugging_face(text):
        return f"{text.config.to_json_string()} {text.pooler} {text.proj}"
    block = text.transformer.resblocks[0]
    class_token = getattr(text, "cls_emb", None) is not None and text.correct_cls_mask
    return (
        f"{block.attn.num_heads} {block} {text.ln_final} {_pool_type(text)} {_end_token(text)}"
        + (" class token masked" if class_token else "")
    )


def _is_opaque(text: Any) -> bool:
    return _is_hugging_face(text) or getattr(text, "cls_emb", None) is not None


def _is_hugging_face(text: Any) -> bool:
    """Whether the text tower is one of transformers, in the wrapper of open_clip."""
    if "open_clip" not in sys.modules:  # then the model is the demo's; the import is slow
        return False
    from open_clip.hf_model import HFTextEncoder

    return isinstance(text, HFTextEncoder)


def _read_opaque(model: Any, text: Any, tokenizer: Any) -> TextTower:
    if _is_hugging_face(text):
        vocabulary, width = int(text.vocab_size), int(text.config.hidden_size)
        length = int(getattr(tokenizer, "context_length", None) or CONTEXT_LENGTH)
    else:
        vocabulary, width = (int(size) for size in text.token_embedding.weight.shape)
        length = int(text.context_length)
    if tokenizer is None:
        tokenizer = default_tokenizer(vocabulary, length)

    def encode(token_ids: Tensor) -> Tensor:
        # CoCa normalises by default
        features: Tensor = model.encode_text(token_ids, normalize=False)
        return features

    return opaque_text_tower(
        model,
        encode=encode,
        tokenize=tokenize_with(tokenizer, context_length=length),
        context_length=length,
        width=width,
    )


def _pool_type(text: Any) -> str:
    """The pooling type, which has different names in CLIP and TextTransformer."""
    return str(text.text_pool_type if hasattr(text, "text_pool_type") else text.pool_type)


def _end_token(text: Any) -> int:
    return int(text.text_eos_id if hasattr(text, "text_eos_id") else text.eos_id)


def _check_text(text: Any) -> None:
    """Check that the parts of a text tower can be run exactly as the model does.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    if not hasattr(text, "token_embedding"):
        raise UnsupportedModelError(
            f"Expected a text tower of open_clip, but got {type(text).__qualname__}."
        )
    if getattr(text, "use_pad_mask", False):
        raise UnsupportedModelError(
            "The text tower's mask of padding (use_pad_mask) is not supported."
        )
    if _pool_type(text) not in _END_POSITIONS:
        raise UnsupportedModelError(
            f"The text tower's pool_type {_pool_type(text)!r} is not supported."
        )


def _highest(_: int) -> TokenMap:
    """The position of the highest id, because that is the end token in CLIP's vocabulary."""
    return lambda token_ids: token_ids.argmax(dim=-1)


def _first_match(end_token: int) -> TokenMap:
    return lambda token_ids: (token_ids == end_token).int().argmax(dim=-1)


def _first(_: int) -> TokenMap:
    return lambda token_ids: torch.zeros_like(token_ids[:, 0])


def _last(_: int) -> TokenMap:
    return lambda token_ids: torch.full_like(token_ids[:, 0], token_ids.shape[1] - 1)


_END_POSITIONS: dict[str, Callable[[int], TokenMap]] = {
    "argmax": _highest,
    "eos": _first_match,
    "first": _first,
    "last": _last,
}
