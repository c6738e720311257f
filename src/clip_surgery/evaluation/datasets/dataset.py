"""What every data set hands to an evaluation: samples with exact masks, by index."""

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
"""Mask value of a pixel that belongs to none of the names: background."""
NOT_JUDGED = -2
"""Mask value of a pixel that no metric may read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One image with its ground truth.

    image: PIL, RGB. mask: (H, W) int64, each pixel's index into the data set's names, -1 where
    there is none of them, -2 where it is not judged. present: the names that are in the image.
    caption: one sentence about it, None where the data set has none. unsure: names of which the
    truth says neither that they are in the image nor that they are not; as -2 for pixels, no
    metric may count them.

    Raises:
        InputError: the image is not RGB, or the mask is not (H, W) int64 of the image's size, or
            holds a value below -2, or a name is both present and unsure.

    Example:
        >>> picture = Image.new("RGB", (2, 1))
        >>> Sample(image=picture, mask=np.array([[0, NO_OBJECT]]), present=frozenset({"cat"})).mask
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
        """An image of which only labels are known: no pixel is judged.

        Raises:
            InputError: when the image is not RGB, or a name is both present and unsure.

        Example:
            >>> Sample.without_mask(Image.new("RGB", (2, 1)), present=frozenset({"cat"})).mask
            array([[-2, -2]])
        """
        mask = np.full((image.height, image.width), NOT_JUDGED, dtype=np.int64)
        return cls(image=image, mask=mask, present=present, unsure=unsure)


@runtime_checkable
class Dataset(Protocol):
    """Samples by index over a fixed tuple of names; the same index always gives the same sample."""

    @property
    def name(self) -> str:
        """A short name for reports."""

    @property
    def names(self) -> Sequence[str]:
        """The label set that masks index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def position(index: int, count: int) -> int:
    """An index that may count from the end, as one from the start.

    Raises:
        IndexError: when it is out of range.

    Example:
        >>> position(-1, 3)
        2
    """
    place = as_index(index)
    place += count if place < 0 else 0
    if not 0 <= place < count:
        raise IndexError(f"Expected an index below {count}, but got {index}")
    return place
