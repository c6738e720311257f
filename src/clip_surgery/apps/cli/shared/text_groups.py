"""Objects that are described by several texts, joined by "+" on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from clip_surgery.errors import InputError


def split_objects(texts: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the texts of each object.

    Raises:
        InputError: if there is no text on one side of a "+", or an object has a text twice.

    Example:
        >>> split_objects(["person+bench", "dog"])
        [('person', 'bench'), ('dog',)]
    """
    objects = []
    for text in texts:
        parts = tuple(part.strip() for part in text.split("+"))
        if not all(parts):
            raise InputError(f"Expected a text on both sides of every '+', but got {text!r}.")
        if len(set(parts)) < len(parts):
            raise InputError(f"Expected each text once in an object, but got {text!r}.")
        objects.append(parts)
    return objects


def texts_of(objects: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """Return all texts of the objects, each once, in order.

    Example:
        >>> texts_of([("person", "bench"), ("person",)])
        ('person', 'bench')
    """
    return tuple(dict.fromkeys(text for texts in objects for text in texts))
