"""Random streams of scenes, separate for data sets and for training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip_surgery.evaluation.datasets.scenes.composition import MOST_OBJECTS, compose

DATASET_STREAM = 0x64617461
TRAINING_STREAM = 0x747261696E
"""First word of the keys of generators, so that no training scene is a scene of a data set."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneBatch:
    """B scenes as arrays.

    Attributes:
        pixels: (B, size, size, 3) uint8, RGB.
        present: (B, C) bool, the nouns in the image.
        named: (B, C) bool, the nouns in the caption.
        names_place: (B,) bool, whether the caption names the background.
        captions: B sentences.
    """

    pixels: NDArray[np.uint8]
    present: NDArray[np.bool_]
    named: NDArray[np.bool_]
    names_place: NDArray[np.bool_]
    captions: list[str]


def generator(stream: int, seed: int, index: int) -> np.random.Generator:
    """Return the random numbers of scene `index`, independent of all other scenes."""
    # The index is the counter's highest word: 2**192 draws lie between two scenes.
    return np.random.Generator(np.random.Philox(key=[seed, stream], counter=[0, 0, 0, index]))


def training_batch(
    *,
    seed: int,
    start: int,
    count: int,
    size: int,
    names: Sequence[str],
    most_objects: int = MOST_OBJECTS,
) -> SceneBatch:
    """Scenes start, ..., start + count - 1 of the training stream, without PIL images or masks."""
    pixels = np.empty((count, size, size, 3), np.uint8)
    present = np.zeros((count, len(names)), np.bool_)
    named = np.zeros((count, len(names)), np.bool_)
    names_place = np.zeros(count, np.bool_)
    captions = []
    for row in range(count):
        rng = generator(TRAINING_STREAM, seed, start + row)
        scene = compose(rng, size, names, most_objects)
        pixels[row] = scene.pixels
        present[row, list(scene.present)] = True
        named[row, list(scene.caption.named)] = True
        names_place[row] = scene.caption.names_place
        captions.append(scene.caption.text)
    return SceneBatch(
        pixels=pixels, present=present, named=named, names_place=names_place, captions=captions
    )
