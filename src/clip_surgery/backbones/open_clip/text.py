"""open_clip's text towers: CLIP (parts on the model itself), CustomTextCLIP.text and CoCa.text.

Two kinds are run by open_clip itself: CoCa's, whose class token stands behind the padding and is
masked by a rule of its own, and the towers of transformers (XLM-RoBERTa, mT5, NLLB, ...).
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
    """Read the text side of an open_clip `CLIP` or `CustomTextCLIP`; no tokenizer: CLIP's own.

    Raises:
        UnsupportedModelError: naming the part that cannot be read.
        InputError: when the tokenizer is of no known kind, or missing and not CLIP's own.
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
    """What text features depend on besides the weights: heads, activation, norms, pooling."""
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
        words, width = int(text.vocab_size), int(text.config.hidden_size)
        length = int(getattr(tokenizer, "context_length", None) or CONTEXT_LENGTH)
    else:
        words, width = (int(size) for size in text.token_embedding.weight.shape)
        length = int(text.context_length)
    if tokenizer is None:
        tokenizer = default_tokenizer(words, length)

    def encode(token_ids: Tensor) -> Tensor:
        # CoCa normalises unless told otherwise
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
    """CLIP keeps it under a longer name than TextTransformer does."""
    return str(text.text_pool_type if hasattr(text, "text_pool_type") else text.pool_type)


def _end_token(text: Any) -> int:
    return int(text.text_eos_id if hasattr(text, "text_eos_id") else text.eos_id)


def _check_text(text: Any) -> None:
    """Refuse what the walk could not reproduce.

    Raises:
        UnsupportedModelError: naming the part.
    """
    if not hasattr(text, "token_embedding"):
        raise UnsupportedModelError(
            f"Expected open_clip's own text tower, but got {type(text).__qualname__}."
        )
    if getattr(text, "use_pad_mask", False):
        raise UnsupportedModelError("The text tower's mask of padding (use_pad_mask) is not read.")
    if _pool_type(text) not in _END_POSITIONS:
        raise UnsupportedModelError(f"The text tower's pool_type {_pool_type(text)!r} is not read.")


def _highest(_: int) -> TokenMap:
    """CLIP's end token has the highest id of all."""
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
