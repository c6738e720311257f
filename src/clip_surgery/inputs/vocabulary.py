"""Vocabulary: the reference words that a text is compared with.

What an image scores for a text says little alone; what it scores for ordinary words beside it
says more. The list of common nouns is this library's own and travels with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

from clip_surgery.errors import UnknownNameError
from clip_surgery.inputs.texts import check_texts

COMMON = "common"


@cache
def common_nouns() -> tuple[str, ...]:
    """A few hundred English nouns for what photographs show.

    Example:
        >>> "bench" in common_nouns()
        True
    """
    file = resources.files(__package__) / "common_nouns.txt"
    lines = file.read_text(encoding="utf-8").splitlines()
    return check_texts(line for line in lines if line and not line.startswith("#"))


def resolve_vocabulary(
    vocabulary: str | Iterable[str] | None, *, known: tuple[str, ...] = ()
) -> tuple[str, ...] | None:
    """The reference words that a setting means, None for none.

    "common" means the common nouns, or `known`, all the words of a model that knows few: a word
    that a model never read is no reference for it.

    Raises:
        UnknownNameError: for another name than "common".
        InputError: for words that cannot be used.

    Example:
        >>> resolve_vocabulary("common", known=("dog", "boat"))
        ('dog', 'boat')
    """
    if vocabulary is None:
        return None
    if isinstance(vocabulary, str):
        if vocabulary != COMMON:
            raise UnknownNameError.among("vocabulary", vocabulary, [COMMON])
        return known or common_nouns()
    return check_texts(vocabulary)
