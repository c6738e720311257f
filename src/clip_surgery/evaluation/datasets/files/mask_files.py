"""Masks in files beside the images: what the data sets that keep them so have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.datasets.files.image_files import ImageFiles
from clip_surgery.evaluation.datasets.files.listing import check_files
from clip_surgery.inputs.images import read_image

_INDEX_MODES = ("P", "L", "1", "I;16", "I")  # palette and grey: one number a pixel
_UNKNOWN = -99  # in tables: a number that the data set does not use


class MaskFiles(ImageFiles):
    """A data set of images with a mask file each.

    Args:
        name: what reports call it.
        classes: its names, in the order of the indices in `values`.
        stems: what tells one image from another.
        values: number in a mask file to the index in the names, NO_OBJECT or NOT_JUDGED.
        settings: what else makes it another data set, for the repr.
    """

    def __init__(
        self,
        *,
        name: str,
        classes: ClassNames,
        stems: Sequence[str],
        values: Mapping[int, int],
        settings: Mapping[str, object],
    ) -> None:
        super().__init__(name=name, classes=classes, listing=stems, settings=settings)
        self._table = np.full(max(values) + 2, _UNKNOWN)  # the last entry: whatever lies beyond
        self._table[list(values)] = list(values.values())

    @abstractmethod
    def image_path(self, stem: str) -> Path:
        """Where the image is."""

    @abstractmethod
    def mask_path(self, stem: str) -> Path:
        """Where its mask is."""

    def read(self, place: int) -> Sample:
        """An image and its mask.

        Raises:
            InputError: when either cannot be read, or they do not belong together.
        """
        stem = self.listing[place]
        image_path, mask_path = self.image_path(stem), self.mask_path(stem)
        image = read_image(image_path).image
        mask = self._index(self.read_values(mask_path), mask_path)
        return masked_sample(image, self.arrange(mask, image_path), self.names, mask_path)

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """The numbers in a mask file (H, W).

        Raises:
            InputError: when it is missing, damaged or no such file.
        """
        return read_values(path)

    def arrange(self, mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
        """Turn a mask as the image is turned; most data sets have nothing to turn."""
        return mask

    def check_files(self, of: str) -> None:
        """Make sure that no image and no mask is missing.

        Raises:
            InputError: says how many of `of` are missing, with examples.
        """
        for path_of, kind in ((self.image_path, "images"), (self.mask_path, "masks")):
            paths = [path_of(stem) for stem in self.listing]
            check_files(paths, f"{of}: half unpacked, {kind}")

    def _index(self, values: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
        last = len(self._table) - 1
        mask = self._table[np.where((values < 0) | (values > last), last, values)]
        strange = np.unique(values[mask == _UNKNOWN])
        if strange.size:
            raise InputError(
                f"{path}: expected values of the {len(self.names)} classes of {self.name}, "
                f"but got {', '.join(map(str, strange[:5]))}."
            )
        return mask


def masked_sample(
    image: Image.Image, mask: NDArray[np.int64], names: Sequence[str], path: Path
) -> Sample:
    """The sample of an image and its mask; present is what has a pixel.

    Raises:
        InputError: when the mask of file `path` is not of the image's size.

    Example:
        >>> picture, mask = Image.new("RGB", (2, 1)), np.array([[-1, 1]])
        >>> masked_sample(picture, mask, ("cat", "dog"), Path("a.png")).present
        frozenset({'dog'})
    """
    check_size(mask, image, str(path))
    seen = np.zeros(len(names) + 2, dtype=np.bool_)
    seen[mask.ravel()] = True  # -1 and -2 are the last two
    present = frozenset(names[index] for index in np.flatnonzero(seen[:-2]).tolist())
    return Sample(image=image, mask=mask, present=present)


def check_size(mask: NDArray[np.int64], image: Image.Image, of: str) -> None:
    """Make sure that a mask is of its image's size.

    Raises:
        InputError: says both, and what mask it is of.
    """
    if mask.shape != (image.height, image.width):
        raise InputError(
            f"{of}: expected a mask of {image.height} x {image.width} px (height x width) as "
            f"its image, but got {' x '.join(map(str, mask.shape))}."
        )


def read_values(path: Path) -> NDArray[np.int64]:
    """The numbers (H, W) of a palette or grey image, as they are.

    Raises:
        InputError: when the file is missing or damaged, or is an image in colours.
    """
    values = read_pixels(path)
    if values.ndim != 2:
        raise InputError(
            f"{path}: expected a mask of palette or grey indices, but got an image in colours."
        )
    return values


def read_pixels(path: Path) -> NDArray[np.int64]:
    """The numbers of a mask file: (H, W) of palette or grey images, (H, W, 3) of RGB.

    Raises:
        InputError: when the file is missing, damaged or of another kind.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in (*_INDEX_MODES, "RGB"):
                raise InputError(f"{path}: expected a palette, grey or RGB mask, not {image.mode}.")
            return np.asarray(image).astype(np.int64)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except InputError:
        raise
    except Exception as error:  # decoders raise nearly anything on a damaged file
        reason = " ".join(str(error).replace(str(path), "it").split()) or type(error).__name__
        raise InputError(f"{path}: not a mask that can be read ({reason}).") from error
