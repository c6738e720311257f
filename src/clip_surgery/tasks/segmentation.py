"""Segmentation: every pixel to the class whose text it matches best.

Argmax over the dense path's similarity WITHOUT feature surgery, which is the authors' own recipe
(CLIP Surgery, arXiv 2304.05653): a bias taken from all texts cannot change an argmax for the
better. Maps are resized before the argmax, so that borders run between patches, and texts are
taken a few at a time: memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing
from clip_surgery.surgery.min_max import rescale

Background = Literal["none", "threshold", "words"]
NO_CLASS = -1
"""Value of a pixel that belongs to no class, as in the masks of data sets."""
_VALUES_AT_A_TIME = 2**22  # 16 MiB of float32: more is no faster


def segment(
    explanation: Explanation,
    *,
    names: Sequence[str | Sequence[str]] | None = None,
    background: Background = "none",
    threshold: float = 0.6,
    background_words: Sequence[str] = (),
) -> list[Tensor]:
    """The class of every pixel, (H, W) int64 per image at its own size; -1 where there is none.

    A class has one name or several ("person,man,woman" or a list): a pixel's score for it is the
    highest of its names', and each name is a text of the explanation (see `split_names`).

    Background is nowhere ("none"), or where the winner's map, min-maxed over the image, lies
    below `threshold` ("threshold"), or where one of `background_words`, texts of the explanation
    too, wins ("words").

    Args:
        explanation: of a method with a dense similarity.
        names: the classes; all texts of the explanation, each a class, if None.
        background: where no class is.
        threshold: for "threshold", in [0, 1].
        background_words: for "words".

    Raises:
        InputError: when the method has no dense similarity, a score is not finite, there is no
            class, a threshold is out of range, or background words are missing or not wanted.
        UnknownNameError: for a name the explanation was not made for, or an unknown background.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow", "sheep"])
        >>> segment(explanation, names=["clock", "cow,sheep"])[0].shape
        torch.Size([256, 256])
    """
    if explanation.similarity is None:
        raise InputError(
            f"Expected a method with a dense similarity, but {explanation.method} has none."
        )
    if background not in get_args(Background):
        raise UnknownNameError.among("background", background, get_args(Background))
    if not 0 <= threshold <= 1:
        raise InputError(f"Expected threshold to be within 0 to 1, but got {threshold}.")
    if (background == "words") != bool(background_words):
        raise InputError(
            f"Expected background words for background='words' and none otherwise, but got "
            f"{list(background_words)} for {background!r}."
        )
    classes = _classes(explanation, names)
    if background_words:
        classes += [(NO_CLASS, index) for index in explanation.text_indices(background_words)]
    lowest = threshold if background == "threshold" else None
    found = []
    for picture, framing in enumerate(explanation.framings):
        scores = explanation.similarity[picture].detach().float()
        if not scores.isfinite().all():
            raise InputError(f"{explanation.images[picture]}: expected finite similarities.")
        found.append(_segment(scores, framing, classes, lowest))
    return found


def split_names(names: Sequence[str | Sequence[str]]) -> list[tuple[str, ...]]:
    """The names of each class: "person,man" stands for both; the texts to explain are all of them.

    Raises:
        InputError: for a class without a name, a name that two classes have, or no class.

    Example:
        >>> split_names(["person, man", ["sky"]])
        [('person', 'man'), ('sky',)]
    """
    if isinstance(names, str):
        raise InputError(f"Expected a list of classes, but got one string: {names!r}.")
    classes = []
    seen: set[str] = set()
    for entry in names:
        parts = entry.split(",") if isinstance(entry, str) else entry
        own = tuple(part.strip() for part in parts)
        if not own or not all(own):
            raise InputError(f"Expected names in every class, but got {entry!r}.")
        twice = sorted(seen.intersection(own) or {name for name in own if own.count(name) > 1})
        if twice:
            raise InputError(f"Expected each name once, but got {twice[0]!r} more than once.")
        seen.update(own)
        classes.append(own)
    if not classes:
        raise InputError("Expected at least one class, but got none.")
    return classes


def _classes(
    explanation: Explanation, names: Sequence[str | Sequence[str]] | None
) -> list[tuple[int, int]]:
    """(class, text index) for every name."""
    if names is None:
        return [(index, index) for index in range(len(explanation.texts))]
    return [
        (number, index)
        for number, own in enumerate(split_names(names))
        for index in explanation.text_indices(own)
    ]


def _segment(
    scores: Tensor, framing: Framing, classes: list[tuple[int, int]], lowest: float | None
) -> Tensor:
    """Argmax over the classes' texts of one image's scores (C, rows, columns)."""
    best = torch.full(tuple(framing.original), float("-inf"), device=scores.device)
    found = torch.full(tuple(framing.original), NO_CLASS, device=scores.device)
    level = torch.zeros_like(best)
    for part in _parts(classes, framing):
        maps = framing.restore_map(scores[[index for _, index in part]])  # (n, H, W)
        highest, row = maps.max(dim=0)
        wins = highest > best
        best = torch.where(wins, highest, best)
        numbers = torch.tensor([number for number, _ in part], device=scores.device)
        found = torch.where(wins, numbers[row], found)
        if lowest is not None:
            low, high = maps.amin((1, 2)), maps.amax((1, 2))
            level = torch.where(wins, rescale(highest, low[row], high[row]), level)
    return found if lowest is None else found.masked_fill(level < lowest, NO_CLASS)


def _parts(classes: list[tuple[int, int]], framing: Framing) -> Iterator[list[tuple[int, int]]]:
    """The classes' texts, as many at a time as memory is meant to hold at the image's size."""
    pixels = framing.original.height * framing.original.width
    count = max(1, _VALUES_AT_A_TIME // pixels)
    for start in range(0, len(classes), count):
        yield classes[start : start + count]
