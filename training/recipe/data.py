"""Batches of training scenes as tensors, composed here or by worker processes."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from clip_surgery.evaluation.datasets.scenes import SceneBatch, training_batch
from recipe.config import Config
from recipe.loss import also_true
from recipe.vocabulary import Vocabulary, all_templates

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI's, so that the usual preprocessing of CLIP fits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """What one step needs.

    patches: (B, n, 3 * p * p). kept: (B, n), which of the grid they are, None for all. tokens:
    (B + C, T) of captions, then of label prompts. ends: (B + C,), the places of their ends.
    present: (B, C). also_true: (B, B).
    """

    patches: Tensor
    kept: Tensor | None
    tokens: Tensor
    ends: Tensor
    present: Tensor
    also_true: Tensor


class SceneSource:
    """Scenes of the training stream in order, a few batches ahead when there are workers."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._pool = ProcessPoolExecutor(config.workers) if config.workers else None
        self._ahead: deque[tuple[int, Future[SceneBatch]]] = deque()

    def scenes(self, start: int, most_objects: int) -> SceneBatch:
        """Scenes start, ..., start + batch - 1."""
        if self._pool is None:
            return self._compose(start, most_objects)
        if self._ahead and self._ahead[0][0] != start:
            self._ahead.clear()
        while len(self._ahead) < 2 * self.config.workers:
            following = self._ahead[-1][0] + self.config.batch if self._ahead else start
            wanted = self._settings(following, most_objects)
            self._ahead.append((following, self._pool.submit(training_batch, **wanted)))
        return self._ahead.popleft()[1].result()

    def _compose(self, start: int, most_objects: int) -> SceneBatch:
        return training_batch(**self._settings(start, most_objects))

    def _settings(self, start: int, most_objects: int) -> dict[str, object]:
        config = self.config
        return {
            "seed": config.seed,
            "start": start,
            "count": config.batch,
            "size": config.model.image_size,
            "names": config.nouns,
            "most_objects": most_objects,
        }


def prepare(
    scenes: SceneBatch, config: Config, vocabulary: Vocabulary, *, start: int, keep: float
) -> Batch:
    """Tensors on the device; which patches and prompts are drawn depends on (seed, start) only."""
    rng = np.random.Generator(np.random.Philox(key=[config.seed, start]))
    templates = all_templates()
    prompts = [templates[rng.integers(len(templates))].format(noun) for noun in config.nouns]
    emptied = rng.random(len(scenes.captions)) < config.empty_captions
    captions = ["" if gone else text for text, gone in zip(scenes.captions, emptied, strict=True)]
    tokens, ends = vocabulary.encode([*captions, *prompts])
    device = torch.device(config.device)
    present = torch.from_numpy(scenes.present).to(device)
    named = torch.from_numpy(scenes.named & ~emptied[:, None]).to(device)
    names_place = torch.from_numpy(scenes.names_place & ~emptied).to(device)
    pixels = torch.from_numpy(scenes.pixels).to(device)
    patches, kept = patches_kept(pixels, config.model.patch_size, keep, int(rng.integers(2**62)))
    return Batch(
        patches=patches,
        kept=kept,
        tokens=tokens.to(device),
        ends=ends.to(device),
        present=present,
        also_true=also_true(named, names_place, present),
    )


def patches_kept(pixels: Tensor, side: int, keep: float, seed: int) -> tuple[Tensor, Tensor | None]:
    """Normalised patches (B, n, 3 * side * side) of pixels (B, H, W, 3) uint8, in conv1's order.

    keep is the share of patches, drawn anew for each image; which of the grid they are comes back
    too, (B, n), None for all.
    """
    batch, height, width, _ = pixels.shape
    rows, columns = height // side, width // side
    grid = pixels.view(batch, rows, side, columns, side, 3).permute(0, 1, 3, 5, 2, 4)
    patches = grid.reshape(batch, rows * columns, 3 * side * side)
    kept = None
    if keep < 1:
        count = round(keep * rows * columns)
        order = torch.Generator(pixels.device).manual_seed(seed)
        draw = torch.rand(batch, rows * columns, generator=order, device=pixels.device)
        kept = draw.argsort(1)[:, :count]
        patches = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[2]))
    mean = torch.tensor(MEAN, device=pixels.device).repeat_interleave(side * side)
    std = torch.tensor(STD, device=pixels.device).repeat_interleave(side * side)
    return (patches.float() / 255 - mean) / std, kept
