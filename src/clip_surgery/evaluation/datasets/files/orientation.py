"""Orientation: a mask drawn on a photograph as it is stored, turned as the photograph is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image


def upright_mask(mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
    """The mask as its image is shown, where the camera marked that as lying on its side.

    Such an image is read upright, and its mask (H, W) may be either way: with sides of different
    length its size tells. A mask of any other size is left as it is.
    """
    with Image.open(image_path) as image:
        stored = (image.height, image.width)
        turn = image.getexif().get(ExifTags.Base.Orientation, 1)
    if stored[0] == stored[1] or mask.shape != stored:
        return mask
    return turned(mask, turn)


def turned(mask: NDArray[np.int64], orientation: int) -> NDArray[np.int64]:
    """Apply those of EXIF's orientations that swap the sides, 5 to 8; others change nothing.

    Example:
        >>> turned(np.array([[1, 2]]), 6).tolist()
        [[1], [2]]
    """
    turns = {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask, 2).T, 8: np.rot90(mask)}
    return turns.get(orientation, mask).copy()
