"""A data set of generated scenes with exact masks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Sample, position
from clip_surgery.evaluation.datasets.scenes.composition import compose
from clip_surgery.evaluation.datasets.scenes.sprites import ALL_NOUNS, TRAINING_NOUNS
from clip_surgery.evaluation.datasets.scenes.stream import DATASET_STREAM, generator

SMALLEST_SIZE = 32
LARGEST_SIZE = 1024


class SceneDataset:
    """Small images of one to five everyday objects, drawn from a seed, with exact masks.

    Scene i depends on (seed, i, size, names) only, and not on the count.

    Args:
        seed: seed of the scenes, at least 0.
        count: number of scenes.
        size: side in pixels, 32 to 1024; the demo model was trained with 96.
        names: nouns that occur in the scenes, any of `ALL_NOUNS`; by default the 64 training nouns.

    Raises:
        InputError: if the seed or count is negative, the size is out of range, there are no names,
            or a name is repeated or not in the atlas.

    Example:
        >>> scene = SceneDataset(seed=2_000_003, count=500)[0]
        >>> scene.image.size, scene.mask.shape
        ((96, 96), (96, 96))
    """

    name = "scenes"

    def __init__(
        self,
        *,
        seed: int,
        count: int,
        size: int = 96,
        names: tuple[str, ...] = TRAINING_NOUNS,
    ) -> None:
        _check_number("seed", seed, 0, 2**64 - 1)
        _check_number("count", count, 0, 2**63 - 1)
        _check_number("size", size, SMALLEST_SIZE, LARGEST_SIZE)
        _check_names(names)
        self.seed, self.count, self.size = seed, count, size
        self.names = tuple(names)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        from_start = position(index, self.count)
        scene = compose(generator(DATASET_STREAM, self.seed, from_start), self.size, self.names)
        return Sample(
            image=Image.fromarray(scene.pixels),
            mask=scene.mask.astype(np.int64),
            present=frozenset(self.names[noun] for noun in scene.present),
            caption=scene.caption.text,
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(self.count))

    def __repr__(self) -> str:
        return (
            f"SceneDataset(seed={self.seed}, count={self.count}, size={self.size}, "
            f"names=<{len(self.names)}>)"
        )


def _check_number(field: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"Expected `{field}` to be an integer from {low} to {high}, but got {value!r}"
        )


def _check_names(names: tuple[str, ...]) -> None:
    if isinstance(names, str) or not names:
        raise InputError(f"Expected `names` to be a tuple of nouns, but got {names!r}")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(f"Expected each of `names` once, but got {repeated} more than once")
    unknown = [name for name in names if name not in ALL_NOUNS]
    if unknown:
        raise InputError(
            f"Expected `names` from the {len(ALL_NOUNS)} nouns of the atlas, but got {unknown}; "
            f"the nouns are: {', '.join(ALL_NOUNS)}"
        )
