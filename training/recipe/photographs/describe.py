"""Captions of collages: every picture in it by its name or by its kind."""

from __future__ import annotations

import numpy as np

from clip_surgery.evaluation.datasets.scenes.captions import TEMPLATES, listing
from recipe.photographs.concepts import Concepts

BY_KIND = 0.3
NAME_ALL = 0.7
MOST_NAMED = 4


def describe(
    rng: np.random.Generator, concepts: Concepts, classes: list[int], sprites: list[int]
) -> tuple[str, list[int]]:
    """A sentence naming all or some of the classes and sprites, and the words (L) it uses."""
    said = []
    for number in classes:
        kind = concepts.kinds[number]
        said.append(kind if kind is not None and rng.random() < BY_KIND else number)
    said += [int(concepts.of_sprite[number].argmax()) for number in sprites]
    different = list(dict.fromkeys(said))
    order = [different[index] for index in rng.permutation(len(different))]
    count = len(order) if rng.random() < NAME_ALL else 1 + int(rng.integers(len(order)))
    named = order[: min(count, MOST_NAMED)]
    template = TEMPLATES[int(rng.integers(len(TEMPLATES)))]
    return template.format(listing([concepts.words[index] for index in named])), named
