"""Batches of photographs, collages and scenes, by how far the training is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.evaluation.datasets.scenes import ALL_NOUNS
from recipe.config import Config, Phase
from recipe.data import Batch, SceneSource, as_batch, patches_at, random_patches
from recipe.photographs import layout as layouts
from recipe.photographs.concepts import Concepts
from recipe.photographs.describe import describe
from recipe.photographs.layout import Layout
from recipe.photographs.paint import Canvas, coloured
from recipe.photographs.store import Photographs
from recipe.vocabulary import Vocabulary

STREAM = 0x70686F746F


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """What is to be painted: photographs and sprites by number, where, and what is said of it."""

    layout: Layout
    photographs: NDArray[np.int64]
    sprite_layout: Layout
    sprites: NDArray[np.int64]
    present: NDArray[np.bool_]
    named: NDArray[np.bool_]
    captions: list[str]


class PhotographSource:
    """Batches that depend on (seed, start, progress) only; pictures are painted on the device."""

    def __init__(
        self, config: Config, vocabulary: Vocabulary, concepts: Concepts, photographs: Photographs
    ) -> None:
        self.config, self.vocabulary, self.concepts = config, vocabulary, concepts
        self.photographs = photographs
        self._classes = photographs.classes.cpu().numpy()
        self._scenes = SceneSource(config, vocabulary)
        shown = [ALL_NOUNS.index(noun) for noun in config.scene_nouns]
        self._scene_words = concepts.of_sprite[shown]  # (nouns, L)

    def batch(self, start: int, share: float) -> Batch:
        """One batch: photographs, then scenes, as the phase at this progress wants."""
        config = self.config
        phase = next(phase for phase in config.phases if share < phase.until)
        rng = np.random.Generator(
            np.random.Philox(key=[config.seed, STREAM], counter=[0, 0, 0, start])
        )
        scenes = round(config.batch * phase.scenes)
        drawn, kept = self._draw(rng, config.batch - scenes, phase)
        pixels = self.paint(drawn, rng)
        present, named, captions = drawn.present, drawn.named, drawn.captions
        names_place = np.zeros(len(captions), np.bool_)
        if scenes:
            more = self._scenes.scenes(start, 5, scenes)
            pixels = torch.cat([pixels, torch.from_numpy(more.pixels).to(pixels.device)])
            words = self._scene_words.astype(np.float32)
            present = np.concatenate([present, (more.present @ words) > 0])
            named = np.concatenate([named, (more.named @ words) > 0])
            names_place = np.concatenate([names_place, more.names_place])
            captions = captions + more.captions
        if kept is None and phase.keep < 1:
            grid = config.model.image_size // config.model.patch_size
            kept = random_patches(len(pixels), grid**2, phase.keep, rng, config.device)
        return as_batch(
            patches=patches_at(pixels, config.model.patch_size, kept),
            kept=kept,
            present=present,
            named=named,
            names_place=names_place,
            captions=captions,
            config=config,
            vocabulary=self.vocabulary,
            rng=rng,
        )

    def paint(self, drawn: Drawn, rng: np.random.Generator) -> Tensor:
        """Pixels (B, S, S, 3) uint8."""
        device = self.config.device
        canvas = Canvas(len(drawn.captions), self.config.model.image_size, device)
        chosen = torch.from_numpy(drawn.photographs).to(device)
        canvas.photographs(drawn.layout, chosen, self.photographs)
        canvas.pixels = coloured(canvas, rng)
        canvas.sprites(
            drawn.sprite_layout, torch.from_numpy(drawn.sprites).to(device), chosen.shape[1]
        )
        return canvas.pixels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def _draw(
        self, rng: np.random.Generator, count: int, phase: Phase
    ) -> tuple[Drawn, Tensor | None]:
        grid = self.config.model.image_size // self.config.model.patch_size
        kept = None
        if phase.windows:
            layout, places = layouts.windows(rng, count, grid)
            kept = torch.from_numpy(places).to(self.config.device)
        else:
            layout = layouts.collages(rng, count)
        chosen = rng.integers(len(self.photographs), size=layout.active.shape)
        top = layouts.sprites(rng, count, 0.0 if phase.windows else phase.sprites)
        sprites = rng.integers(len(ALL_NOUNS), size=top.active.shape)
        present = np.zeros((count, len(self.concepts.words)), np.bool_)
        named = np.zeros_like(present)
        captions = []
        for row in range(count):
            classes = self._classes[chosen[row, layout.active[row]]].tolist()
            things = sprites[row, top.active[row]].tolist()
            present[row] = self.concepts.of_class[classes].any(axis=0)
            present[row] |= self.concepts.of_sprite[things].any(axis=0)
            caption, words = describe(rng, self.concepts, classes, things)
            named[row, words] = True
            captions.append(caption)
        drawn = Drawn(
            layout=layout,
            photographs=chosen,
            sprite_layout=top,
            sprites=sprites,
            present=present,
            named=named,
            captions=captions,
        )
        return drawn, kept
