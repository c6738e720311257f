"""Words outside the label set: colours and sizes of objects, in the captions of some scenes."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from clip_surgery.evaluation.datasets.scenes import BACKGROUNDS, Scene, SceneBatch, compose
from clip_surgery.evaluation.datasets.scenes.captions import MOST_NAMED, TEMPLATES, with_article
from clip_surgery.evaluation.datasets.scenes.stream import (
    TRAINING_STREAM,
    generator,
    training_batch,
)

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 30, 30),
    "orange": (250, 140, 20),
    "yellow": (250, 225, 40),
    "green": (40, 170, 50),
    "blue": (40, 80, 225),
    "purple": (140, 50, 180),
    "pink": (250, 130, 185),
    "brown": (130, 80, 40),
    "white": (250, 250, 250),
    "black": (35, 35, 35),
}
SIZES = ("small", "large")
MORE_WORDS: tuple[str, ...] = (*COLOURS, *SIZES)
"""What the vocabulary of training needs besides nouns and templates."""
SMALL, LARGE = 0.03, 0.08
"""An object below this share of the picture is called small, above that one large."""
WORDS_STREAM = 0x776F726473
NAME_PLACE = 0.4


def described_batch(
    *,
    every: int,
    seed: int,
    start: int,
    count: int,
    size: int,
    names: tuple[str, ...],
    most_objects: int,
) -> SceneBatch:
    """Training scenes of which one in `every` is described by a colour or a size.

    The captions of these scenes count as naming a place, since they say more than nouns and so are
    not true of every image that holds the nouns. Other scenes are those of `training_batch`.
    """
    batch = training_batch(
        seed=seed, start=start, count=count, size=size, names=names, most_objects=most_objects
    )
    return with_descriptions(
        batch, every=every, seed=seed, start=start, most_objects=most_objects, names=names
    )


def with_descriptions(
    batch: SceneBatch,
    *,
    every: int,
    seed: int,
    start: int,
    names: tuple[str, ...],
    most_objects: int,
) -> SceneBatch:
    """The batch of `training_batch` with one scene in `every` described, see `described_batch`."""
    size = batch.pixels.shape[1]
    pixels, captions = batch.pixels.copy(), list(batch.captions)
    named, says_more = batch.named.copy(), batch.names_place.copy()
    for row in range(-start % every, len(pixels), every):
        scene = compose(generator(TRAINING_STREAM, seed, start + row), size, names, most_objects)
        rng = generator(WORDS_STREAM, seed, start + row)
        pixels[row], captions[row], said = described(rng, scene, names)
        named[row] = False
        named[row, list(said)] = True
        says_more[row] = True
    return dataclasses.replace(
        batch, pixels=pixels, captions=captions, named=named, names_place=says_more
    )


def described(
    rng: np.random.Generator, scene: Scene, names: tuple[str, ...]
) -> tuple[NDArray[np.uint8], str, tuple[int, ...]]:
    """Pixels with one object in a new colour, a caption with its colour or sizes, nouns named."""
    order = [int(index) for index in rng.permutation(list(scene.present))]
    first = order[0]
    colour = list(COLOURS)[int(rng.integers(len(COLOURS)))]
    recoloured = rng.random() < 0.6
    pixels = coloured(scene.pixels, scene.mask == first, colour) if recoloured else scene.pixels
    said = tuple(order[: 1 + int(rng.integers(min(len(order), MOST_NAMED)))])
    phrases = []
    for index in said:
        words = [names[index]]
        if index == first and recoloured:
            words.insert(0, colour)
        elif word := size_word(float((scene.mask == index).mean())):
            words.insert(0, word)
        phrases.append(phrase(words))
    shuffled = [phrases[index] for index in rng.permutation(len(phrases))]
    text = joined(shuffled)
    if rng.random() < NAME_PLACE:
        text = f"{text} {BACKGROUNDS[scene.background].place}"
    return pixels, TEMPLATES[int(rng.integers(len(TEMPLATES)))].format(text), said


def coloured(
    pixels: NDArray[np.uint8], inside: NDArray[np.bool_], colour: str
) -> NDArray[np.uint8]:
    """The pixels (H, W, 3) inside the mask in this colour, with their light and shade kept."""
    light = pixels[inside].astype(np.float32).mean(axis=1)  # (n,)
    relative = (light - light.mean()) / 255
    tint = np.asarray(COLOURS[colour], np.float32) + 150 * relative[:, None]
    result = pixels.copy()
    result[inside] = np.clip(tint, 0, 255).astype(np.uint8)
    return result


def size_word(share: float) -> str | None:
    """What an object of this share of the picture is called; None between small and large."""
    if share < SMALL:
        return "small"
    return "large" if share > LARGE else None


def phrase(words: list[str]) -> str:
    """Adjectives and a noun with the article that fits: "an orange owl", "red wine"."""
    *adjectives, noun = words
    if not adjectives:
        return with_article(noun)
    together = " ".join(words)
    if with_article(noun) == noun:
        return together
    return f"an {together}" if together[0] in "aeiou" else f"a {together}"


def joined(phrases: list[str]) -> str:
    """Phrases as a sentence lists them: "a red cow, an owl and scissors"."""
    if len(phrases) == 1:
        return phrases[0]
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"
