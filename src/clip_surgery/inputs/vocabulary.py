"""The vocabulary: reference words that texts are compared with.

The score of an image and a text cannot be interpreted alone, but only in comparison with the scores
of ordinary words. The list of common nouns was made for this library and is part of the package.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib import resources

from clip_surgery.errors import UnknownNameError
from clip_surgery.inputs.texts import check_texts

COMMON = "common"
SMALL = "small"
_SMALL_STEP = 4
"""The small list has every fourth common noun, so that it covers the same subjects."""


@cache
def common_nouns() -> tuple[str, ...]:
    """Return a few hundred English nouns of things that photographs show.

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
    """Return the reference words that a setting stands for, or None.

    Args:
        vocabulary: "common" for the list of common nouns, "small" for a quarter of them, reference
            words, or None.
        known: all words of a model that was trained on few words. They replace the common nouns,
            because a model cannot score words that it was not trained on.

    Raises:
        UnknownNameError: if the vocabulary is a name other than "common" and "small".
        InputError: if a word cannot be used.

    Example:
        >>> resolve_vocabulary("common", known=("dog", "boat"))
        ('dog', 'boat')
    """
    if vocabulary is None:
        return None
    if isinstance(vocabulary, str):
        if vocabulary not in (COMMON, SMALL):
            raise UnknownNameError.among("vocabulary", vocabulary, [COMMON, SMALL])
        return known or common_nouns()[:: _SMALL_STEP if vocabulary == SMALL else 1]
    return check_texts(vocabulary)
