"""Rotation of masks that were drawn on photographs before their EXIF orientation was applied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image


def upright_mask(mask: NDArray[np.int64], image_path: Path) -> NDArray[np.int64]:
    """Rotate a mask like its image if the EXIF orientation of the image swaps its sides.

    Images are read upright, and their masks may be upright or as the image is stored. If the sides
    have different lengths, the size of the mask tells which. Other masks are returned unchanged.

    Args:
        mask: (H, W) class indices.
        image_path: the image file.
    """
    try:
        with Image.open(image_path) as image:
            stored_hw = (image.height, image.width)
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # damaged metadata raises nearly any error; the image is then read unrotated
        return mask
    if stored_hw[0] == stored_hw[1] or mask.shape != stored_hw:
        return mask
    return turned(mask, orientation)


def turned(mask: NDArray[np.int64], orientation: int) -> NDArray[np.int64]:
    """Apply an EXIF orientation that swaps the sides, 5 to 8. Other orientations change nothing.

    Example:
        >>> turned(np.array([[1, 2]]), 6).tolist()
        [[1], [2]]
    """
    rotated = {5: mask.T, 6: np.rot90(mask, -1), 7: np.rot90(mask, 2).T, 8: np.rot90(mask)}
    return rotated.get(orientation, mask).copy()
