"""Conversion of images of any mode to 8-bit RGB.

Images are converted before they are resized, because palette indices and colours with transparency
cannot be averaged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clip_surgery.errors import InputError


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image of any mode as a new 8-bit RGB image, with white behind transparent pixels.

    Grey values of 16 bits (modes I;16 and I) are divided by 257. The range of float grey values
    (mode F) is 0 to 1, 0 to 255 or 0 to 65535, the smallest of these that contains all values.

    Raises:
        InputError: if a grey value is below 0, above 65535 or not finite.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("La", "RGBa"):  # Pillow converts premultiplied alpha to LA and RGBA only
        image = image.convert(image.mode.upper())
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return grey values of more than 8 bits, scaled to 0 to 255."""
    low, high = values.min(), values.max()
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0 or high > 65535:
        raise InputError(
            f"expected grey values in 0..65535, but got {low:g} to {high:g}; "
            "scale the image to 8 or 16 bits."
        )
    scale = 1 / 257
    if values.dtype.kind == "f" and high <= 255:
        scale = 255.0 if high <= 1 else 1.0
    return np.rint(values * scale).astype(np.uint8)
