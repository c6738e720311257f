"""One image or several, as users may pass both to the same argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from clip_surgery.inputs.images import ImageSource

_SINGLE_IMAGES = (str, bytes, bytearray, memoryview)
"""Sequences that are one image (a path or the bytes of a file), not several."""


def as_image_list(images: Sequence[ImageSource] | ImageSource) -> list[ImageSource]:
    """Return a list of images; a single image becomes a list of one.

    Args:
        images: a list or tuple of image sources, or one source: a path, the bytes of a file, a PIL
            image or one numpy array (H, W, 3).

    Example:
        >>> as_image_list("street.png"), as_image_list(("a.png", "b.png"))
        (['street.png'], ['a.png', 'b.png'])
    """
    if isinstance(images, Sequence) and not isinstance(images, _SINGLE_IMAGES):
        return list(images)
    return [cast(ImageSource, images)]
