"""The words of photographs and sprites, and which of them are true of what."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clip_surgery.evaluation.datasets.scenes import ALL_NOUNS


@dataclass(frozen=True, kw_only=True, eq=False)
class Concepts:
    """L words: the names of the photographs' classes, their kinds, and the sprites' nouns.

    words: (L,), the class names first, in the order of `keys` (WordNet ids). kinds: for each class
    the index of its kind's word, None without one. of_class (classes, L) and of_sprite (sprites, L)
    bool: which words are true of a class or of a sprite.
    """

    words: tuple[str, ...]
    keys: tuple[str, ...]
    kinds: tuple[int | None, ...]
    of_class: NDArray[np.bool_]
    of_sprite: NDArray[np.bool_]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.words[: len(self.keys)]


def read_concepts(folder: Path) -> Concepts:
    """The concepts of `classes.json` in the folder of the photographs."""
    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
    names = [entry["name"] for entry in classes.values()]
    kinds = [entry["kind"] for entry in classes.values()]
    words = list(dict.fromkeys([*names, *(kind for kind in kinds if kind), *ALL_NOUNS]))
    index = {word: position for position, word in enumerate(words)}
    of_class = np.zeros((len(names), len(words)), np.bool_)
    for row, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        of_class[row, [index[word] for word in (name, kind) if word]] = True
    of_sprite = np.zeros((len(ALL_NOUNS), len(words)), np.bool_)
    of_sprite[range(len(ALL_NOUNS)), [index[noun] for noun in ALL_NOUNS]] = True
    return Concepts(
        words=tuple(words),
        keys=tuple(classes),
        kinds=tuple(index[kind] if kind else None for kind in kinds),
        of_class=of_class,
        of_sprite=of_sprite,
    )
