"""What a batch shows and says, as arrays: everything but the pixels of photographs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip_surgery.evaluation.datasets.scenes import ALL_NOUNS
from recipe.config import Config, Phase
from recipe.data import MANY_OBJECTS, Texts, composed, encoded_texts
from recipe.photographs import layout as layouts
from recipe.photographs.concepts import Concepts
from recipe.photographs.describe import describe
from recipe.photographs.layout import Layout
from recipe.vocabulary import Vocabulary

STREAM = 0x70686F746F


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawing:
    """What drawing needs every time. classes: (N,) int64, the classes of the photographs."""

    config: Config
    vocabulary: Vocabulary
    concepts: Concepts
    classes: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """What is to be painted, and the texts.

    photographs (B, K) and sprites (B, 2): by number. colours: (B, 6), see `paint.coloured`. places:
    (B, n), the patches that a window covers. patch_seed: for the choice of patches otherwise.
    scenes: pixels (S, H, W, 3) uint8 of scenes that follow the photographs. present: (B + S, L).
    """

    layout: Layout
    photographs: NDArray[np.int64]
    sprite_layout: Layout
    sprites: NDArray[np.int64]
    colours: NDArray[np.float32]
    places: NDArray[np.int64] | None
    patch_seed: int
    scenes: NDArray[np.uint8] | None
    present: NDArray[np.bool_]
    texts: Texts


def drawn(drawing: Drawing, start: int, number: int) -> Drawn:
    """The batch that begins with sample `start`, in phase `number`."""
    config, concepts = drawing.config, drawing.concepts
    phase = config.phases[number]
    rng = np.random.Generator(np.random.Philox(key=[config.seed, STREAM], counter=[0, 0, 0, start]))
    scenes = round(config.batch * phase.scenes)
    count = config.batch - scenes
    layout, places = laid_out(config, phase, rng, count)
    chosen = rng.integers(len(drawing.classes), size=layout.active.shape)
    top = layouts.sprites(rng, count, 0.0 if phase.windows else phase.sprites)
    sprites = rng.integers(len(ALL_NOUNS), size=top.active.shape)
    present = (concepts.of_class[drawing.classes[chosen]] & layout.active[..., None]).any(axis=1)
    present |= (concepts.of_sprite[sprites] & top.active[..., None]).any(axis=1)
    named = np.zeros_like(present)
    captions = []
    for row in range(count):
        classes = drawing.classes[chosen[row, layout.active[row]]].tolist()
        things = sprites[row, top.active[row]].tolist()
        caption, words = describe(rng, concepts, classes, things)
        named[row, words] = True
        captions.append(caption)
    names_place, pixels = np.zeros(count, np.bool_), None
    if scenes:
        more = composed(config, start, MANY_OBJECTS, scenes)
        shown = [ALL_NOUNS.index(noun) for noun in config.scene_nouns]
        words_of = concepts.of_sprite[shown].astype(np.float32)  # (nouns, L)
        pixels, captions = more.pixels, captions + more.captions
        present = np.concatenate([present, (more.present @ words_of) > 0])
        named = np.concatenate([named, (more.named @ words_of) > 0])
        names_place = np.concatenate([names_place, more.names_place])
    return Drawn(
        layout=layout,
        photographs=chosen,
        sprite_layout=top,
        sprites=sprites,
        colours=rng.uniform(-1, 1, (count, 6)).astype(np.float32),
        places=places,
        patch_seed=int(rng.integers(2**62)),
        scenes=pixels,
        present=present,
        texts=encoded_texts(
            named=named,
            names_place=names_place,
            captions=captions,
            config=config,
            vocabulary=drawing.vocabulary,
            rng=rng,
        ),
    )


def laid_out(
    config: Config, phase: Phase, rng: np.random.Generator, count: int
) -> tuple[Layout, NDArray[np.int64] | None]:
    """Where photographs lie, and which patches they cover if only those are used."""
    if phase.windows:
        grid = config.model.image_size // config.model.patch_size
        return layouts.windows(rng, count, grid)
    return layouts.collages(rng, count), None
