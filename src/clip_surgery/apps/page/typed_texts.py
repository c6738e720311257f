"""Texts and sentences that a visitor typed, checked against the limits of the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from clip_surgery.apps.page.limits import Limits
from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable
from clip_surgery.inputs.texts import check_texts


def read_texts(texts: object, limits: Limits) -> tuple[str, ...]:
    """Return the texts to look for. Commas separate texts, and repeated texts count once.

    Args:
        texts: what was sent: a text, a list of texts, or None for no text.
        limits: the limits of the page.

    Raises:
        InputError: if there is no text, there are too many, one is too long, or one is not a text.

    Example:
        >>> read_texts(["dog, boat", "dog"], Limits())
        ('dog', 'boat')
    """
    listed: object = [texts] if isinstance(texts, str) else ([] if texts is None else texts)
    if not isinstance(listed, Iterable) or isinstance(listed, Mapping):
        raise InputError(f"Expected a list of texts, but got {type(listed).__name__}.")
    unique: dict[str, None] = {}
    for text in listed:
        if not isinstance(text, str):
            raise InputError(f"Expected a list of texts, but got {type(text).__name__} in it.")
        unique.update((part.strip(), None) for part in text.split(",") if part.strip())
    if not unique:
        raise InputError("Type at least one text to look for.")
    if len(unique) > limits.texts:
        raise InputError(f"Expected at most {limits.texts} texts at once, but got {len(unique)}.")
    for text in unique:
        _check_length(text, limits)
    return check_texts(unique)


def read_sentence(sentence: object, limits: Limits) -> str:
    """Return the sentence of a visitor.

    Args:
        sentence: what was sent.
        limits: the limits of the page.

    Raises:
        InputError: if there is no sentence, or it is too long.
    """
    if not isinstance(sentence, str) or not sentence.strip():
        raise InputError("Type a sentence about the image.")
    _check_length(sentence, limits)
    [checked_sentence] = check_texts([sentence])
    return checked_sentence


def _check_length(text: str, limits: Limits) -> None:
    if len(text) > limits.characters:
        raise InputError(
            f"Expected at most {limits.characters} characters, but "
            f"{printable(text[:40])!r}... has {len(text)}."
        )
