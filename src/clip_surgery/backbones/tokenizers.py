"""Adapt the tokenizers of open_clip and transformers to the `Tokenize` interface.

These tokenizers cut long texts without a message. Here tokens are counted before a text is cut, so
that a text longer than the context is an error unless the caller asks for truncation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from clip_surgery.backbones.tower import Tokenize
from clip_surgery.errors import InputError

_SHOWN_CHARACTERS = 60


def tokenize_with(tokenizer: Any, *, context_length: int) -> Tokenize:
    """Return a Tokenize that uses a tokenizer of open_clip or transformers.

    Args:
        tokenizer: the tokenizer.
        context_length: the largest number of tokens of a text.

    Raises:
        InputError: if the tokenizer is of neither library.
    """
    return BoundTokenizer(tokenizer, context_length)


class BoundTokenizer:
    """A Tokenize that uses a tokenizer of open_clip or transformers.

    Attributes:
        tokenizer: the tokenizer of the library.
        context_length: the largest number of tokens of a text.

    Raises:
        InputError: if the tokenizer is of neither library.
    """

    def __init__(self, tokenizer: Any, context_length: int) -> None:
        self.tokenizer, self.context_length = tokenizer, context_length
        self._encode = _encoder(tokenizer, context_length)

    def __call__(self, texts: list[str], *, truncate: bool = False) -> Tensor:
        """Return token ids (C, T) int64 of C texts, padded to the context length T.

        Raises:
            InputError: if a text has more tokens than the context and `truncate` is False.
        """
        rows, counts = self._encode(texts)
        for text, count in zip(texts, counts, strict=True):
            if count > self.context_length and not truncate:
                shortened = text
                if len(text) > _SHOWN_CHARACTERS:
                    shortened = f"{text[:_SHOWN_CHARACTERS]}..."
                raise InputError(
                    f"Expected a text of at most {self.context_length} tokens, but got {count} "
                    f"tokens: {shortened!r}. Shorten it or pass truncate=True."
                )
        return rows


def tokenizer_signature(tokenize: Tokenize) -> str:
    """Return the token ids of a test text, which differ between different tokenizers.

    The text has capitals, digits, an accent and a Chinese character.
    """
    return str(tokenize(["Z\u00fcrich's 2 old-Cats, \u732b!"], truncate=True).tolist())


def has_word_pieces(tokenizer: Any, vocabulary: int) -> bool:
    """Return whether a tokenizer of transformers contains word pieces, not only special tokens.

    If the files of a tokenizer are missing, transformers 5 returns one with special tokens only.

    Args:
        tokenizer: the tokenizer.
        vocabulary: number of word pieces of the model.
    """
    return len(tokenizer) > vocabulary // 2


_Encoder = Callable[[list[str]], tuple[Tensor, list[int]]]


def _encoder(tokenizer: Any, context_length: int) -> _Encoder:
    """A function of C texts that returns token ids (C, T), cut to T, and the lengths before."""
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
    """For open_clip.SimpleTokenizer: start token, word pieces, end token, zeros.

    A text that is cut ends with the end token as well.
    """

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
    """For open_clip.HFTokenizer and SigLipTokenizer, which return ids but not their number."""
    # In the mode "clips", the wrapper and not its inner tokenizer adds start, end and class token.
    added_by_wrapper = 3 if getattr(tokenizer, "tokenizer_mode", "") == "clips" else 0
    clean = getattr(tokenizer, "clean_fn", str)

    def encode(texts: list[str]) -> tuple[Tensor, list[int]]:
        if not texts:
            return torch.zeros(0, context_length, dtype=torch.int64), []
        cleaned = [clean(text) for text in texts]
        uncut = tokenizer.tokenizer(cleaned, add_special_tokens=not added_by_wrapper, verbose=False)
        rows: Tensor = tokenizer(texts, context_length=context_length)
        return rows, [len(ids) + added_by_wrapper for ids in uncut["input_ids"]]

    return encode


def _from_transformers(tokenizer: Any, context_length: int) -> _Encoder:
    """For tokenizers of transformers, with padding on the right up to the context length."""

    def encode(texts: list[str]) -> tuple[Tensor, list[int]]:
        if not texts:
            return torch.zeros(0, context_length, dtype=torch.int64), []
        uncut = tokenizer(texts, verbose=False)["input_ids"]
        cut = tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=context_length,
            padding_side="right",
        )
        return torch.tensor(cut["input_ids"], dtype=torch.int64), [len(ids) for ids in uncut]

    return encode
