"""Batches of training scenes as tensors, composed here or by worker processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.evaluation.datasets.scenes import SceneBatch, training_batch
from recipe.config import Config
from recipe.loss import also_true
from recipe.vocabulary import Vocabulary, label_templates
from recipe.words import described_batch

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
"""OpenAI's, so that the usual preprocessing of CLIP fits."""
MANY_OBJECTS = 5


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


class Source(Protocol):
    """Where batches come from."""

    def batch(self, start: int, share: float) -> Batch:
        """The batch of samples start, start + 1, ..., at this share of the schedule."""
        ...


class SceneSource:
    """Scenes of the training stream in order, a few batches ahead when there are workers."""

    def __init__(self, config: Config, vocabulary: Vocabulary) -> None:
        self.config, self.vocabulary = config, vocabulary
        self._pool = _pool(config.workers)
        self._ahead: deque[tuple[int, Future[SceneBatch]]] = deque()

    def batch(self, start: int, share: float) -> Batch:
        """One batch; which patches and prompts are drawn depends on (seed, start) only."""
        config = self.config
        few = share < config.schedule.few_objects_until
        scenes = self.scenes(
            start, config.schedule.few_objects if few else MANY_OBJECTS, config.batch
        )
        keep = next(keep for until, keep in config.schedule.keep if share < until)
        rng = np.random.Generator(np.random.Philox(key=[config.seed, start]))
        pixels = torch.from_numpy(scenes.pixels).to(config.device)
        kept = None
        if keep < 1:
            grid = config.model.image_size // config.model.patch_size
            kept = random_patches(len(pixels), grid**2, keep, rng, config.device)
        return as_batch(
            patches=patches_at(pixels, config.model.patch_size, kept),
            kept=kept,
            present=scenes.present,
            named=scenes.named,
            names_place=scenes.names_place,
            captions=scenes.captions,
            config=config,
            vocabulary=self.vocabulary,
            rng=rng,
        )

    def scenes(self, start: int, most_objects: int, count: int) -> SceneBatch:
        """Scenes start, ..., start + count - 1."""
        compose = described_batch if self.config.described_every else training_batch
        if self._pool is None:
            return compose(**self._settings(start, most_objects, count))
        if self._ahead and self._ahead[0][0] != start:
            self._ahead.clear()
        while len(self._ahead) < 2 * self.config.workers:
            following = self._ahead[-1][0] + self.config.batch if self._ahead else start
            wanted = self._settings(following, most_objects, count)
            self._ahead.append((following, self._pool.submit(compose, **wanted)))
        return self._ahead.popleft()[1].result()

    def _settings(self, start: int, most_objects: int, count: int) -> dict[str, Any]:
        config = self.config
        every = {"every": config.described_every} if config.described_every else {}
        return every | {
            "seed": config.seed,
            "start": start,
            "count": count,
            "size": config.model.image_size,
            "names": config.scene_nouns,
            "most_objects": most_objects,
        }


def _pool(workers: int) -> ProcessPoolExecutor | None:
    # Spawned, not forked: the parent may hold a GPU.
    return ProcessPoolExecutor(workers, get_context("spawn")) if workers else None


def as_batch(
    *,
    patches: Tensor,
    kept: Tensor | None,
    present: NDArray[np.bool_],
    named: NDArray[np.bool_],
    names_place: NDArray[np.bool_],
    captions: Sequence[str],
    config: Config,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
) -> Batch:
    """The texts encoded, one random prompt for each label, a few captions emptied.

    There are no prompts where the label loss has no weight.
    """
    templates = label_templates(config.label_templates)
    prompted = config.nouns if config.label_weight else ()
    prompts = [templates[rng.integers(len(templates))].format(noun) for noun in prompted]
    emptied = rng.random(len(captions)) < config.empty_captions
    texts = ["" if gone else text for text, gone in zip(captions, emptied, strict=True)]
    tokens, ends = vocabulary.encode([*texts, *prompts], multiple=config.text_multiple)
    device = patches.device
    held = torch.from_numpy(present).to(device)
    said = torch.from_numpy(named & ~emptied[:, None]).to(device)
    places = torch.from_numpy(names_place & ~emptied).to(device)
    return Batch(
        patches=patches,
        kept=kept,
        tokens=tokens.to(device),
        ends=ends.to(device),
        present=held,
        also_true=also_true(said, places, held),
    )


def random_patches(
    batch: int, patches: int, keep: float, rng: np.random.Generator, device: str
) -> Tensor:
    """Which of the patches are kept, (batch, n) int64, drawn anew for each picture."""
    order = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    draw = torch.rand(batch, patches, generator=order, device=device)
    return draw.argsort(1)[:, : round(keep * patches)]


def patches_at(pixels: Tensor, side: int, kept: Tensor | None = None) -> Tensor:
    """Normalised patches (B, n, 3 * side * side) of pixels (B, H, W, 3) uint8, in conv1's order.

    kept: (B, n), which of the grid, None for all.
    """
    batch, height, width, _ = pixels.shape
    rows, columns = height // side, width // side
    grid = pixels.view(batch, rows, side, columns, side, 3).permute(0, 1, 3, 5, 2, 4)
    patches = grid.reshape(batch, rows * columns, 3 * side * side)
    if kept is not None:
        patches = patches.gather(1, kept[..., None].expand(-1, -1, patches.shape[2]))
    mean = torch.tensor(MEAN, device=pixels.device).repeat_interleave(side * side)
    std = torch.tensor(STD, device=pixels.device).repeat_interleave(side * side)
    return (patches.float() / 255 - mean) / std
