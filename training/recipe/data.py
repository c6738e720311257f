"""Batches of training scenes as tensors, composed here or by worker processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.evaluation.datasets.scenes import SceneBatch, training_batch
from recipe.ahead import Ahead
from recipe.config import Config
from recipe.loss import also_true
from recipe.processes import Processes
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
    present: (B, C). also_true: (B, B). If several processes train, patches, kept, tokens and ends
    are those of the part of one process.
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

    def __init__(
        self, config: Config, vocabulary: Vocabulary, processes: Processes | None = None
    ) -> None:
        self.config, self.vocabulary = config, vocabulary
        self.processes = processes or Processes()
        self._scenes = Ahead(composed, config, step=config.batch, workers=config.workers)

    def batch(self, start: int, share: float) -> Batch:
        """One batch; which patches and prompts are drawn depends on (seed, start) only."""
        config = self.config
        few = share < config.schedule.few_objects_until
        most_objects = config.schedule.few_objects if few else MANY_OBJECTS
        own = self.processes.part(config.batch)
        scenes = self._scenes.take(start + own.start, most_objects, own.stop - own.start)
        keep = next(keep for until, keep in config.schedule.keep if share < until)
        rng = np.random.Generator(np.random.Philox(key=[config.seed, start]))
        pixels = on_device(scenes.pixels, config.device)
        kept = None
        if keep < 1:
            grid = config.model.image_size // config.model.patch_size
            kept = random_patches(
                config.batch, grid**2, keep, int(rng.integers(2**62)), config.device
            )[own]
        patches = patches_at(pixels, config.model.patch_size, kept)
        said = self.processes.exchanged(
            (scenes.present, scenes.named, scenes.names_place, scenes.captions)
        )
        present, named, names_place, captions = (
            np.concatenate(each) for each in zip(*said, strict=True)
        )
        texts = encoded_texts(
            named=named,
            names_place=names_place,
            captions=captions.tolist(),
            config=config,
            vocabulary=self.vocabulary,
            rng=rng,
        )
        batch = as_batch(patches, kept, present, texts)
        part = self.processes.part(len(batch.tokens))
        return replace(batch, tokens=batch.tokens[part], ends=batch.ends[part])


def composed(config: Config, start: int, most_objects: int, count: int | None = None) -> SceneBatch:
    """Scenes start, ..., start + count - 1; a batch of them by default."""
    compose = described_batch if config.described_every else training_batch
    every = {"every": config.described_every} if config.described_every else {}
    return compose(
        **every,
        seed=config.seed,
        start=start,
        count=count or config.batch,
        size=config.model.image_size,
        names=config.scene_nouns,
        most_objects=most_objects,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Texts:
    """The texts of a batch as arrays, as they leave the processes that encode them.

    tokens (B + C, T) and ends (B + C,) int64: captions, then prompts of the labels. said (B, C)
    bool: the labels that a caption names. names_place (B,) bool.
    """

    tokens: NDArray[np.int64]
    ends: NDArray[np.int64]
    said: NDArray[np.bool_]
    names_place: NDArray[np.bool_]


def encoded_texts(
    *,
    named: NDArray[np.bool_],
    names_place: NDArray[np.bool_],
    captions: Sequence[str],
    config: Config,
    vocabulary: Vocabulary,
    rng: np.random.Generator,
) -> Texts:
    """The texts encoded, one random prompt for each label, a few captions emptied.

    There are no prompts where the label loss has no weight.
    """
    templates = label_templates(config.label_templates)
    prompted = config.nouns if config.label_weight else ()
    prompts = [templates[rng.integers(len(templates))].format(noun) for noun in prompted]
    emptied = rng.random(len(captions)) < config.empty_captions
    texts = ["" if gone else text for text, gone in zip(captions, emptied, strict=True)]
    tokens, ends = vocabulary.encode([*texts, *prompts], multiple=config.text_multiple)
    return Texts(
        tokens=tokens.numpy(),
        ends=ends.numpy(),
        said=named & ~emptied[:, None],
        names_place=names_place & ~emptied,
    )


def as_batch(
    patches: Tensor, kept: Tensor | None, present: NDArray[np.bool_], texts: Texts
) -> Batch:
    """A batch on the device of the patches."""
    device = str(patches.device)
    held, said = on_device(present, device), on_device(texts.said, device)
    return Batch(
        patches=patches,
        kept=kept,
        tokens=on_device(texts.tokens, device),
        ends=on_device(texts.ends, device),
        present=held,
        also_true=also_true(said, on_device(texts.names_place, device), held),
    )


def on_device(array: NDArray[Any], device: str) -> Tensor:
    """The array as a tensor; a copy to a GPU does not wait for what the GPU still computes."""
    tensor = torch.from_numpy(array)
    if not device.startswith("cuda"):
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def random_patches(batch: int, patches: int, keep: float, seed: int, device: str) -> Tensor:
    """Which of the patches are kept, (batch, n) int64, drawn anew for each picture."""
    order = torch.Generator(device).manual_seed(seed)
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
