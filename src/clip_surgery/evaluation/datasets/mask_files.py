"""Pictures and masks as files side by side: what the data sets that keep them so have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from hashlib import sha256
from operator import index as as_index
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.class_names import ClassNames
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.inputs.images import read_image

_INDEX_MODES = ("P", "L", "1", "I;16", "I")  # palette and grey: one number a pixel
_UNKNOWN = -99  # in tables: a number that the data set does not use


class MaskFiles(ABC):
    """A data set of pictures with a mask file each; nothing is read before it is asked for.

    Args:
        name: what reports call it.
        classes: its names, in the order of the indices in `values`.
        stems: what tells one picture from another.
        values: number in a mask file to the index in the names, NO_OBJECT or NOT_JUDGED.
    """

    def __init__(
        self, *, name: str, classes: ClassNames, stems: Sequence[str], values: Mapping[int, int]
    ) -> None:
        self.name = name
        self.classes = classes
        self.stems = tuple(stems)
        self._table = np.full(max(values) + 2, _UNKNOWN)  # the last entry: whatever lies beyond
        self._table[list(values)] = list(values.values())

    @abstractmethod
    def image_path(self, stem: str) -> Path:
        """Where the picture is."""

    @abstractmethod
    def mask_path(self, stem: str) -> Path:
        """Where its mask is."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that masks index."""
        return self.classes.names

    def __len__(self) -> int:
        return len(self.stems)

    def __getitem__(self, index: int) -> Sample:
        stem = self.stems[position(index, len(self))]
        image_path, mask_path = self.image_path(stem), self.mask_path(stem)
        image = read_image(image_path).image
        mask = self._index(self.read_values(mask_path), mask_path)
        return masked_sample(image, self.arrange(mask, image_path), self.names, mask_path)

    def read_values(self, path: Path) -> NDArray[np.int64]:
        """The numbers in a mask file (H, W)."""
        return read_values(path)

    def arrange(self, mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
        """Turn a mask as the picture is turned; most data sets have nothing to turn."""
        return mask

    def check_files(self, of: str) -> None:
        """Make sure that no picture and no mask is missing.

        Raises:
            InputError: says how many of `of` are missing, with examples.
        """
        for path_of, kind in ((self.image_path, "pictures"), (self.mask_path, "masks")):
            paths = [path_of(stem) for stem in self.stems]
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
    """The sample of a picture and its mask; present is what has a pixel.

    Raises:
        InputError: when the mask of file `path` is not of the picture's size.
    """
    if mask.shape != (image.height, image.width):
        raise InputError(
            f"{path}: expected a mask of {image.height} x {image.width} px (height x width) as "
            f"its picture, but got {' x '.join(map(str, mask.shape))}."
        )
    present = frozenset(names[index] for index in np.unique(mask).tolist() if index >= 0)
    return Sample(image=image, mask=mask, present=present)


def read_values(path: Path) -> NDArray[np.int64]:
    """The numbers (H, W) of a palette or grey picture, as they are.

    Raises:
        InputError: when the file is missing or damaged, or is a picture in colours.
    """
    values = read_pixels(path)
    if values.ndim != 2:
        raise InputError(
            f"{path}: expected a mask of palette or grey indices, but got a picture in colours."
        )
    return values


def read_pixels(path: Path) -> NDArray[np.int64]:
    """The numbers of a mask file: (H, W) of palette or grey pictures, (H, W, 3) of RGB.

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


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty.

    Raises:
        InputError: when it cannot be read, or is empty.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error
    if not any(lines):
        raise InputError(f"{path}: expected one entry a line, but the file is empty.")
    return [line for line in lines if line]


def check_files(paths: Sequence[Path], what: str) -> None:
    """Make sure that all these files exist; each folder is listed once.

    Raises:
        InputError: says how many are missing, with examples.
    """
    there = {
        folder: {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        for folder in {path.parent for path in paths}
    }
    missing = [path.name for path in paths if path.name not in there[path.parent]]
    if missing:
        examples = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(f"{what}: {len(missing)} of {len(paths)} are missing ({examples}).")


def listed(stems: Sequence[str]) -> str:
    """How many pictures, and digits that change with any of their names: for a data set's record.

    Example:
        >>> listed(["a", "b"])
        '2 (59b271ae)'
    """
    text = "\0".join(stems).encode("utf-8", "surrogatepass")  # names of files may be any bytes
    return f"{len(stems)} ({sha256(text).hexdigest()[:8]})"


def position(index: int, count: int) -> int:
    """An index that may count from the end, as one from the start.

    Raises:
        IndexError: when it is out of range.
    """
    place = as_index(index)
    place += count if place < 0 else 0
    if not 0 <= place < count:
        raise IndexError(f"Expected an index below {count}, but got {index}")
    return place
