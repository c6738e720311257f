"""The tokenizer of CLIP, for models that are given without a tokenizer."""

from __future__ import annotations

import functools
from typing import Any

from open_clip import SimpleTokenizer

from clip_surgery.errors import InputError

BPE_WORDS = 49408
"""Number of word pieces in the vocabulary of CLIP."""


def default_tokenizer(vocabulary: int, context_length: int) -> Any:
    """Return the tokenizer of CLIP.

    Args:
        vocabulary: number of word pieces of the model.
        context_length: largest number of tokens of a text.

    Raises:
        InputError: if the vocabulary is of another size, so that the tokenizer must be given.
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
