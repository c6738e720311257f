"""Base class of the data sets that have one mask file for each image."""

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

_INDEX_MODES = ("P", "L", "1", "I;16", "I")  # palette and grey: one value per pixel
_UNKNOWN = -99  # marks values that the data set does not use


class MaskFiles(ImageFiles):
    """A data set with one mask file for each image.

    Args:
        name: name of the data set in reports.
        classes: the class names, in the order of the indices in `values`.
        stems: stem of the file names of each image.
        values: value in a mask file to class index, NO_OBJECT or NOT_JUDGED.
        settings: further settings that distinguish the data set, for its `repr`.
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
        self._table = np.full(max(values) + 2, _UNKNOWN)  # the last entry is for all other values
        self._table[list(values)] = list(values.values())

    @abstractmethod
    def image_path(self, stem: str) -> Path:
        """Return the path of the image of a stem."""

    @abstractmethod
    def mask_path(self, stem: str) -> Path:
        """Return the path of the mask of a stem."""

    def read(self, index: int) -> Sample:
        """Read an image and its mask.

        Raises:
            InputError: if one of them cannot be read, or they differ in size.
        """
        stem = self.listing[index]
        image_path, mask_path = self.image_path(stem), self.mask_path(stem)
        image = read_image(image_path).image
        mask = self._indices(self.read_values(mask_path), mask_path)
        return masked_sample(image, self.arrange(mask, image_path), self.names, mask_path)

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """Read the values of a mask file, (H, W).

        Raises:
            InputError: if the file is missing, damaged or of another kind.
        """
        return read_values(path)

    def arrange(self, mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
        """Rotate a mask like its image. Most data sets have nothing to rotate."""
        return mask

    def check_files(self, description: str) -> None:
        """Check that no image and no mask is missing.

        Args:
            description: the data set in messages.

        Raises:
            InputError: if files are missing, with their number and examples.
        """
        for path_of, kind in ((self.image_path, "images"), (self.mask_path, "masks")):
            paths = [path_of(stem) for stem in self.listing]
            check_files(paths, f"{description}: incomplete, {kind}")

    def _indices(self, values: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
        """The class index of each value."""
        last = len(self._table) - 1
        mask = self._table[np.where((values < 0) | (values > last), last, values)]
        unknown = np.unique(values[mask == _UNKNOWN])
        if unknown.size:
            raise InputError(
                f"{path}: expected values of the {len(self.names)} classes of {self.name}, "
                f"but got {', '.join(map(str, unknown[:5]))}."
            )
        return mask


def masked_sample(
    image: Image.Image, mask: NDArray[np.int64], names: Sequence[str], path: Path
) -> Sample:
    """Create the sample of an image and its mask. Classes with at least one pixel are present.

    Args:
        image: RGB image.
        mask: (H, W) class indices, NO_OBJECT or NOT_JUDGED.
        names: the class names.
        path: the file of the mask, for the error message.

    Raises:
        InputError: if the mask is not of the size of the image.

    Example:
        >>> image, mask = Image.new("RGB", (2, 1)), np.array([[-1, 1]])
        >>> masked_sample(image, mask, ("cat", "dog"), Path("a.png")).present
        frozenset({'dog'})
    """
    check_size(mask, image, str(path))
    seen = np.zeros(len(names) + 2, dtype=np.bool_)
    seen[mask.ravel()] = True  # -1 and -2 are the last two
    present = frozenset(names[index] for index in np.flatnonzero(seen[:-2]).tolist())
    return Sample(image=image, mask=mask, present=present)


def check_size(mask: NDArray[np.int64], image: Image.Image, name: str) -> None:
    """Check that a mask has the size of its image.

    Raises:
        InputError: if the sizes differ; the message begins with `name`.
    """
    if mask.shape != (image.height, image.width):
        raise InputError(
            f"{name}: expected a mask of {image.height} x {image.width} px (height x width) as "
            f"its image, but got {' x '.join(map(str, mask.shape))}."
        )


def read_values(path: Path) -> NDArray[np.int64]:
    """Read the values (H, W) of a palette or grey image, unchanged.

    Raises:
        InputError: if the file is missing, damaged or a colour image.
    """
    values = read_pixels(path)
    if values.ndim != 2:
        raise InputError(
            f"{path}: expected a mask of palette or grey indices, but got a colour image."
        )
    return values


def read_pixels(path: Path) -> NDArray[np.int64]:
    """Read the values of a mask file: (H, W) of palette or grey images, (H, W, 3) of RGB images.

    Raises:
        InputError: if the file is missing, damaged or of another kind.
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
        raise InputError(f"{path}: cannot be read as a mask ({reason}).") from error
