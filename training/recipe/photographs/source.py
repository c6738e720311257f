"""Batches of photographs, collages and scenes, by how far the training is."""

from __future__ import annotations

import torch
from torch import Tensor

from recipe.ahead import Ahead
from recipe.config import Config
from recipe.data import Batch, as_batch, on_device, patches_at, random_patches
from recipe.photographs.concepts import Concepts
from recipe.photographs.drawing import Drawing, Drawn, drawn
from recipe.photographs.paint import Canvas, coloured
from recipe.photographs.store import Photographs
from recipe.vocabulary import Vocabulary


class PhotographSource:
    """Batches that depend on (seed, start, phase) only.

    What is on the images and in the texts is drawn by processes ahead; the images are painted on
    the device.
    """

    def __init__(
        self, config: Config, vocabulary: Vocabulary, concepts: Concepts, photographs: Photographs
    ) -> None:
        self.config, self.photographs = config, photographs
        drawing = Drawing(
            config=config,
            vocabulary=vocabulary,
            concepts=concepts,
            classes=photographs.classes.cpu().numpy(),
        )
        self._drawn = Ahead(drawn, drawing, step=config.batch, workers=config.workers)

    def batch(self, start: int, share: float) -> Batch:
        """One batch: photographs, then scenes, as the phase at this progress requires."""
        config = self.config
        number = next(n for n, phase in enumerate(config.phases) if share < phase.until)
        given = self._drawn.take(start, number)
        pixels = self.paint(given)
        if given.scenes is not None:
            pixels = torch.cat([pixels, on_device(given.scenes, config.device)])
        kept, keep = None, config.phases[number].keep
        if given.places is not None:
            kept = on_device(given.places, config.device)
        elif keep < 1:
            grid = config.model.image_size // config.model.patch_size
            kept = random_patches(len(pixels), grid**2, keep, given.patch_seed, config.device)
        patches = patches_at(pixels, config.model.patch_size, kept)
        return as_batch(patches, kept, given.present, given.texts)

    def paint(self, given: Drawn) -> Tensor:
        """Pixels (B, S, S, 3) uint8 of the photographs, collages and sprites."""
        device = self.config.device
        canvas = Canvas(len(given.photographs), self.config.model.image_size, device)
        chosen = on_device(given.photographs, device)
        canvas.photographs(given.layout, chosen, self.photographs)
        canvas.pixels = coloured(canvas, given.colours)
        canvas.sprites(given.sprite_layout, on_device(given.sprites, device), first=chosen.shape[1])
        return canvas.pixels.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
