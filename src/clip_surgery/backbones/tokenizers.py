"""One Tokenize out of the tokenizers of open_clip and transformers.

Their own calls cut a long text silently. Here a text is counted before it is cut, so that a
prompt over the context length is an error unless the caller asked for truncation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clip_surgery.backbones.tower import Tokenize
from clip_surgery.errors import InputError

_SHOWN = 60


def tokenize_with(tokenizer: Any, *, context_length: int) -> Tokenize:
    """Build a Tokenize from a tokenizer of open_clip or transformers.

    Raises:
        InputError: when the tokenizer is of neither library.
    """
    encode = _encoder(tokenizer, context_length)

    def tokenize(texts: list[str], *, truncate: bool = False) -> Tensor:
        rows, counts = encode(texts)
        for text, count in zip(texts, counts, strict=True):
            if count > context_length and not truncate:
                shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
                raise InputError(
                    f"Expected a text of at most {context_length} tokens, but got {count} tokens: "
                    f"{shown!r}. Shorten it or pass truncate=True."
                )
        return rows

    return tokenize


def tokenizer_mark(tokenize: Tokenize) -> str:
    """Tell tokenizers apart by what they make of a text with capitals, digits and accents."""
    return str(tokenize(["Z\u00fcrich's 2 old-Cats, \u732b!"], truncate=True).tolist())


def knows_words(tokenizer: Any, vocabulary: int) -> bool:
    """Whether a transformers tokenizer has word pieces for a model of so many.

    Where its files are missing, transformers 5 makes one up of special tokens alone.
    """
    return len(tokenizer) > vocabulary // 2


_Encoder = Callable[[list[str]], tuple[Tensor, list[int]]]


def _encoder(tokenizer: Any, context_length: int) -> _Encoder:
    """Texts to (token ids (C, T) cut to fit, number of tokens before the cut)."""
    if hasattr(tokenizer, "sot_token_id") and hasattr(tokenizer, "encode"):
        return _from_open_clip(tokenizer, context_length)
    if hasattr(tokenizer, "tokenizer") and hasattr(tokenizer, "context_length"):
        return _from_open_clip_wrapper(tokenizer, context_length)
    if hasattr(tokenizer, "convert_tokens_to_ids") and hasattr(tokenizer, "pad_token_id"):
        return _from_transformers(tokenizer, context_length)
    raise InputError(
        "Expected a tokenizer of open_clip (open_clip.get_tokenizer) or of transformers "
        f"(AutoTokenizer), but got {type(tokenizer).__name__}."
    )


def _from_open_clip(tokenizer: Any, context_length: int) -> _Encoder:
    """open_clip.SimpleTokenizer: start, word pieces, end, zeros; a cut text keeps its end."""

    def encode(texts: list[str]) -> tuple[Tensor, list[int]]:
        rows = torch.zeros(len(texts), context_length, dtype=torch.int64)
        counts = []
        for row, text in zip(rows, texts, strict=True):
            ids = [tokenizer.sot_token_id, *tokenizer.encode(text), tokenizer.eot_token_id]
            counts.append(len(ids))
            if len(ids) > context_length:
                ids = [*ids[: context_length - 1], tokenizer.eot_token_id]
            row[: len(ids)] = torch.tensor(ids)
        return rows, counts

    return encode


def _from_open_clip_wrapper(tokenizer: Any, context_length: int) -> _Encoder:
    """open_clip.HFTokenizer and SigLipTokenizer: the ids are theirs, the count is made here."""
    # CLIPS adds start, end and class token by itself, around what its inner tokenizer gives
    by_itself = 3 if getattr(tokenizer, "tokenizer_mode", "") == "clips" else 0
    clean = getattr(tokenizer, "clean_fn", str)

    def encode(texts: list[str]) -> tuple[Tensor, list[int]]:
        if not texts:
            return torch.zeros(0, context_length, dtype=torch.int64), []
        cleaned = [clean(text) for text in texts]
        whole = tokenizer.tokenizer(cleaned, add_special_tokens=not by_itself, verbose=False)
        rows: Tensor = tokenizer(texts, context_length=context_length)
        return rows, [len(ids) + by_itself for ids in whole["input_ids"]]

    return encode


def _from_transformers(tokenizer: Any, context_length: int) -> _Encoder:
    """A transformers tokenizer, padded at the right to the context length."""

    def encode(texts: list[str]) -> tuple[Tensor, list[int]]:
        if not texts:
            return torch.zeros(0, context_length, dtype=torch.int64), []
        whole = tokenizer(texts, verbose=False)["input_ids"]
        cut = tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=context_length,
            padding_side="right",
        )
        return torch.tensor(cut["input_ids"], dtype=torch.int64), [len(ids) for ids in whole]

    return encode
