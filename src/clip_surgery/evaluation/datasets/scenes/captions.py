"""Sentences about a scene: its objects in random order, sometimes its background."""

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
"""Caption templates; the braces take a list such as "a cow, a koala and a camera"."""

NAME_ALL = 0.6
NAME_BACKGROUND = 0.4
MOST_NAMED = 4

_WITHOUT_ARTICLE = frozenset(
    {"grapes", "scissors", "glasses", "fire", "bread", "cheese", "corn"}
    | {"broccoli", "coffee", "beer", "wine", "candy"}
)


def with_article(noun: str) -> str:
    """The noun as a sentence has it: "a cow", "an owl", "scissors"."""
    if noun in _WITHOUT_ARTICLE:
        return noun
    return f"an {noun}" if noun[0] in "aeiou" and not noun.startswith("uni") else f"a {noun}"


def listing(nouns: Sequence[str]) -> str:
    """Nouns as a sentence lists them: "a cow, an owl and scissors"."""
    phrases = [with_article(noun) for noun in nouns]
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A sentence, the indices of the nouns it names, and whether it says where they are."""

    text: str
    named: tuple[int, ...]
    names_place: bool


def caption(rng: np.random.Generator, nouns: Mapping[int, str], place: str) -> Caption:
    """One sentence naming all objects (at most four) or some of them, and maybe the place."""
    pick, all_or_part, background, template = rng.random(4)
    order = [int(index) for index in rng.permutation(list(nouns))]
    count = len(order) if all_or_part < NAME_ALL else 1 + int(pick * len(order))
    named = tuple(order[: min(count, MOST_NAMED)])
    said = listing([nouns[index] for index in named])
    names_place = bool(background < NAME_BACKGROUND)
    if names_place:
        said = f"{said} {place}"
    text = TEMPLATES[int(template * len(TEMPLATES))].format(said)
    return Caption(text=text, named=named, names_place=names_place)
