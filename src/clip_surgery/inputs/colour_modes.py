"""Colours: an image of any mode as 8-bit RGB.

Converted before any resize: palette indices and premultiplied alpha cannot be averaged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clip_surgery.errors import InputError


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to a new 8-bit RGB one, transparent parts on white.

    Grey of 16 bits (modes I;16 and I) is divided by 257; float grey (F) is read as 0..1,
    0..255 or 0..65535, whichever is the smallest range that holds it.

    Raises:
        InputError: for grey values below 0, above 65535 or not finite.

    Example:
        >>> to_rgb(Image.new("RGBA", (1, 1), (255, 0, 0, 0))).getpixel((0, 0))
        (255, 255, 255)
    """
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if image.mode in ("La", "RGBa"):  # premultiplied alpha converts to its plain mode only
        image = image.convert(image.mode.upper())
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale deep grey to 0..255."""
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
