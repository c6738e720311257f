"""Captions of scenes: the objects in random order, and sometimes the background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

TEMPLATES: tuple[str, ...] = (
    "a photo of {}.",
    "a picture of {}.",  # a caption that the demo model was trained with
    "{}",
    "there is {}.",
    "a scene with {}.",
    "an image showing {}.",
    "we can see {}.",
    "here is {}.",
)
"""Caption templates. The braces are replaced by a list such as "a cow, a koala and a camera"."""

NAME_ALL = 0.6
NAME_BACKGROUND = 0.4
MOST_NAMED = 4

_WITHOUT_ARTICLE = frozenset(
    {"grapes", "scissors", "glasses", "fire", "bread", "cheese", "corn"}
    | {"broccoli", "coffee", "beer", "wine", "candy"}
)


def with_article(noun: str) -> str:
    """Return the noun with its article: "a cow", "an owl", "scissors"."""
    if noun in _WITHOUT_ARTICLE:
        return noun
    return f"an {noun}" if noun[0] in "aeiou" and not noun.startswith("uni") else f"a {noun}"


def listing(nouns: Sequence[str]) -> str:
    """Return nouns as a list in a sentence: "a cow, an owl and scissors"."""
    phrases = [with_article(noun) for noun in nouns]
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A sentence about a scene.

    Attributes:
        text: the sentence.
        named: indices of the nouns that it names.
        names_place: whether it names the background.
    """

    text: str
    named: tuple[int, ...]
    names_place: bool


def caption(rng: np.random.Generator, nouns: Mapping[int, str], place: str) -> Caption:
    """Return a sentence that names all objects (at most four) or some of them.

    Args:
        rng: random numbers.
        nouns: index to noun of the objects in the scene.
        place: words for the background, which are used in a part of the captions.
    """
    pick, all_or_part, background, template = rng.random(4)
    order = [int(index) for index in rng.permutation(list(nouns))]
    count = len(order) if all_or_part < NAME_ALL else 1 + int(pick * len(order))
    named = tuple(order[: min(count, MOST_NAMED)])
    phrase = listing([nouns[index] for index in named])
    names_place = bool(background < NAME_BACKGROUND)
    if names_place:
        phrase = f"{phrase} {place}"
    text = TEMPLATES[int(template * len(TEMPLATES))].format(phrase)
    return Caption(text=text, named=named, names_place=names_place)
