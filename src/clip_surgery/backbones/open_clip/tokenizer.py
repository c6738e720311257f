"""CLIP's own word pieces, for models that come without a tokenizer."""

from __future__ import annotations

import functools
from typing import Any

from open_clip import SimpleTokenizer

from clip_surgery.errors import InputError

BPE_WORDS = 49408


def default_tokenizer(vocabulary: int, context_length: int) -> Any:
    """CLIP's own tokenizer, for models with its vocabulary.

    Raises:
        InputError: for another vocabulary, whose word pieces cannot be guessed.
    """
    if vocabulary != BPE_WORDS:
        raise InputError(
            f"Expected CLIP's vocabulary of {BPE_WORDS} word pieces, but got {vocabulary}: "
            "pass the model's tokenizer as tokenizer=..."
        )
    return _simple_tokenizer(context_length)


@functools.lru_cache(maxsize=4)
def _simple_tokenizer(context_length: int) -> Any:
    return SimpleTokenizer(context_length=context_length)
