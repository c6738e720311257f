"""The interface of data sets, and the samples that they return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import index as as_index
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clip_surgery.errors import InputError

NO_OBJECT = -1
"""Mask value of a pixel that belongs to no class: background."""
NOT_JUDGED = -2
"""Mask value of a pixel that is not judged: metrics ignore it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image with its ground truth.

    Attributes:
        image: RGB image.
        mask: (H, W) int64, for each pixel the index of its class in the names of the data set,
            -1 (`NO_OBJECT`) if it has no class, or -2 (`NOT_JUDGED`) if metrics ignore it.
        present: names of the classes that are in the image.
        caption: one sentence about the image, or None if the data set has no captions.
        unsure: names of classes of which it is not known whether they are in the image. Metrics of
            labels ignore them.

    Raises:
        InputError: if the image is not RGB, the mask is not int64 of the size of the image or
            contains a value below -2, or a name is both present and unsure.

    Example:
        >>> image = Image.new("RGB", (2, 1))
        >>> Sample(image=image, mask=np.array([[0, NO_OBJECT]]), present=frozenset({"cat"})).mask
        array([[ 0, -1]])
    """

    image: Image.Image
    mask: NDArray[np.int64]
    present: frozenset[str]
    caption: str | None = None
    unsure: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not isinstance(self.image, Image.Image) or self.image.mode != "RGB":
            kind = getattr(self.image, "mode", type(self.image).__name__)
            raise InputError(f"Expected `image` to be a PIL image in mode RGB, but got {kind}")
        size_hw = (self.image.height, self.image.width)
        if not isinstance(self.mask, np.ndarray) or self.mask.dtype != np.int64:
            kind = getattr(self.mask, "dtype", type(self.mask).__name__)
            raise InputError(f"Expected `mask` to be an int64 array, but got {kind}")
        if self.mask.shape != size_hw:
            raise InputError(
                f"Expected `mask` to have the image's size {size_hw}, but got {self.mask.shape}"
            )
        if self.mask.size and int(self.mask.min()) < NOT_JUDGED:
            raise InputError(
                "Expected `mask` to hold indices, -1 (no object) or -2 (not judged), "
                f"but got {int(self.mask.min())}"
            )
        if self.present & self.unsure:
            raise InputError(
                "Expected names to be either present or unsure, but got both for "
                f"{', '.join(sorted(self.present & self.unsure))}"
            )

    @classmethod
    def without_mask(
        cls,
        image: Image.Image,
        *,
        present: frozenset[str],
        unsure: frozenset[str] = frozenset(),
    ) -> Self:
        """Create a sample from labels alone: no pixel of it is judged.

        Args:
            image: RGB image.
            present: names of the classes that are in the image.
            unsure: names of classes of which it is not known whether they are in the image.

        Raises:
            InputError: if the image is not RGB, or a name is both present and unsure.

        Example:
            >>> Sample.without_mask(Image.new("RGB", (2, 1)), present=frozenset({"cat"})).mask
            array([[-2, -2]])
        """
        mask = np.full((image.height, image.width), NOT_JUDGED, dtype=np.int64)
        return cls(image=image, mask=mask, present=present, unsure=unsure)


@runtime_checkable
class Dataset(Protocol):
    """Samples by index, over a fixed tuple of class names.

    Any object with these members is a data set. The same index must always give the same sample.
    `evaluate` reads samples in several threads at once, and with worker processes it pickles the
    data set. If evaluations of it are to be resumed, its `repr` must be the same in every run.
    """

    @property
    def name(self) -> str:
        """Short name of the data set in reports."""

    @property
    def names(self) -> Sequence[str]:
        """Names of the classes; values of masks are indices of them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def position(index: int, count: int) -> int:
    """Return a possibly negative index as an index from the start.

    Args:
        index: index of a sample; negative indices count from the end.
        count: number of samples.

    Raises:
        IndexError: if the index is out of range.

    Example:
        >>> position(-1, 3)
        2
    """
    from_start = as_index(index)
    from_start += count if from_start < 0 else 0
    if not 0 <= from_start < count:
        raise IndexError(f"Expected an index below {count}, but got {index}")
    return from_start


def describe_dataset(dataset: Dataset) -> str:
    """Return a text that identifies a data set in reports and journals, the same in every run.

    This is its `repr`. The default `repr` of Python contains an address in memory, which is
    different in every run; class, name and size are used in its place.

    Example:
        >>> from clip_surgery.evaluation.datasets.scenes.scene_dataset import SceneDataset
        >>> describe_dataset(SceneDataset(seed=1, count=3))
        'SceneDataset(seed=1, count=3, size=96, names=<64>)'
    """
    if type(dataset).__repr__ is not object.__repr__:
        return repr(dataset)
    kind = type(dataset)
    return (
        f"{kind.__module__}.{kind.__qualname__}(name={dataset.name!r}, images={len(dataset)}, "
        f"classes={len(dataset.names)})"
    )
