"""Training scenes composed once by many processes, and kept on the device for all variants."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.evaluation.datasets.scenes import SceneBatch, training_batch
from recipe.config import Config
from recipe.data import MANY_OBJECTS
from recipe.vocabulary import Vocabulary
from recipe.words import MORE_WORDS, with_descriptions

CHUNK = 1_000
"""Scenes that a worker process composes at a time."""


class Texts(NamedTuple):
    """Encoded captions and what they name.

    tokens: (N, T) int64. ends: (N,), the position of the last token. named: (N, C) bool.
    says_more: (N,) bool, whether the caption says more than nouns.
    """

    tokens: Tensor
    ends: Tensor
    named: Tensor
    says_more: Tensor

    def rows(self, start: int, count: int) -> Texts:
        """The captions start, ..., start + count - 1."""
        return Texts(*(part[start : start + count] for part in self))


@dataclass(frozen=True, kw_only=True, eq=False)
class SceneStore:
    """N scenes in two versions, which differ in one scene of `every`.

    The second version of these scenes is described by a colour or a size, as in
    `recipe.words.described_batch`.

    pixels: (N, H, W, 3) uint8. described_pixels: (ceil(N / every), H, W, 3) uint8, of the scenes
    0, every, 2 * every, ... present: (N, C) bool. captions: the plain version and the described
    one.
    """

    pixels: Tensor
    described_pixels: Tensor
    every: int
    present: Tensor
    captions: tuple[Texts, Texts]

    def __len__(self) -> int:
        return len(self.pixels)

    def save(self, path: Path) -> None:
        """Write it to a file, which `load_store` reads."""
        captions = [tuple(part.cpu() for part in texts) for texts in self.captions]
        parts = {"every": self.every, "captions": captions, "present": self.present.cpu()}
        images = {"pixels": self.pixels.cpu(), "described_pixels": self.described_pixels.cpu()}
        torch.save(parts | images, path)

    def images(self, start: int, count: int) -> Tensor:
        """Pixels (2, count, H, W, 3) of scenes start, ..., in both versions."""
        plain = self.pixels[start : start + count]
        described = plain.clone()
        first = -start % self.every
        number = (start + first) // self.every
        rows = described[first :: self.every]
        described[first :: self.every] = self.described_pixels[number : number + len(rows)]
        return torch.stack([plain, described])


def load_store(path: Path, device: str) -> SceneStore:
    """The scenes that `SceneStore.save` wrote, on this device."""
    parts = torch.load(path, weights_only=True)
    plain, described = (Texts(*(part.to(device) for part in texts)) for texts in parts["captions"])
    images = {name: parts[name].to(device) for name in ("pixels", "described_pixels", "present")}
    return SceneStore(**images, every=parts["every"], captions=(plain, described))


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Scenes start, ..., start + count - 1 of a run, with at most so many objects."""

    config: Config
    every: int
    start: int
    count: int
    most_objects: int


def compose_store(config: Config, every: int, workers: int) -> SceneStore:
    """Compose the `config.samples` scenes of a run; the first of them have few objects."""
    few = round(config.schedule.few_objects_until * config.samples)
    phases = (
        (0, few, config.schedule.few_objects),
        (few, config.samples, MANY_OBJECTS),
    )
    chunks = [
        Chunk(
            config=config,
            every=every,
            start=start,
            count=min(CHUNK, end - start),
            most_objects=most_objects,
        )
        for begin, end, most_objects in phases
        for start in range(begin, end, CHUNK)
    ]
    size, count = config.model.image_size, config.samples
    pixels = np.empty((count, size, size, 3), np.uint8)
    described_pixels = np.empty((-(-count // every), size, size, 3), np.uint8)
    present, plain_texts, described_texts = [], [], []
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for chunk, (plain, described, texts) in zip(
            chunks, pool.map(composed, chunks), strict=True
        ):
            pixels[chunk.start : chunk.start + chunk.count] = plain.pixels
            number = -(-chunk.start // every)
            described_pixels[number : number + len(described)] = described
            present.append(plain.present)
            plain_texts.append(texts[0])
            described_texts.append(texts[1])
    return SceneStore(
        pixels=torch.from_numpy(pixels).to(config.device),
        described_pixels=torch.from_numpy(described_pixels).to(config.device),
        every=every,
        present=torch.from_numpy(np.concatenate(present)).to(config.device),
        captions=(joined(plain_texts, config.device), joined(described_texts, config.device)),
    )


Arrays = tuple[NDArray[np.generic], ...]


def composed(chunk: Chunk) -> tuple[SceneBatch, NDArray[np.uint8], tuple[Arrays, Arrays]]:
    """A chunk of plain scenes, the pixels of the described ones, and the texts of both."""
    config, every = chunk.config, chunk.every
    scenes = {
        "seed": config.seed,
        "start": chunk.start,
        "names": config.scene_nouns,
        "most_objects": chunk.most_objects,
    }
    size = config.model.image_size
    plain = training_batch(**scenes, count=chunk.count, size=size)  # type: ignore[arg-type]
    described = with_descriptions(plain, every=every, **scenes)  # type: ignore[arg-type]
    changed = described.pixels[-chunk.start % every :: every].copy()
    texts = (encoded(plain, config), encoded(described, config))
    return dataclasses.replace(plain, captions=[]), changed, texts


def encoded(batch: SceneBatch, config: Config) -> Arrays:
    """The parts of `Texts` as arrays; 16 bits are enough for a token."""
    vocabulary = vocabulary_of(config.nouns)
    tokens, ends = vocabulary.encode(batch.captions, multiple=config.model.positions)
    return tokens.numpy().astype(np.int16), ends.numpy(), batch.named, batch.names_place


@lru_cache(maxsize=1)
def vocabulary_of(nouns: tuple[str, ...]) -> Vocabulary:
    """The vocabulary of all variants, which holds the words of the described scenes."""
    return Vocabulary(nouns, MORE_WORDS)


def joined(parts: list[Arrays], device: str) -> Texts:
    """The texts of all chunks on the device."""
    tokens, ends, named, says_more = (
        torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*parts, strict=True)
    )
    return Texts(tokens.long().to(device), ends.to(device), named.to(device), says_more.to(device))
