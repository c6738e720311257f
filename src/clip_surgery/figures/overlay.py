"""Draw a heatmap in colours over its image."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.figures.fonts import INK, PAPER, font
from clip_surgery.figures.sheet import Picture, Sheet
from clip_surgery.framing import Size
from clip_surgery.inputs.images import ImageSource, read_image

COLOUR_MAP = "inferno"
"""Perceptually uniform: its lightness increases with the value, also for colour-blind readers."""
OPACITY = 0.7
FADE = 1.0
"""Share by which low values are more transparent. With 1, a map of 0 leaves the image unchanged."""


def overlay(
    image: ImageSource,
    heatmap: Tensor | NDArray[Any],
    *,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
    fade: float = FADE,
    legend: bool = False,
) -> Image.Image:
    """Return an RGB image of the heatmap in colours over its image, in the size of the image.

    Args:
        image: the explained image.
        heatmap: map (H, W) in [0, 1] of the size of the image.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the colours in [0, 1], where the map is 1.
        fade: share in [0, 1] by which the opacity decreases to where the map is 0. With `fade=1`
            the image is unchanged there, and with `fade=0` the opacity is the same everywhere.
        legend: whether a colour bar from low to high is added below the image.

    Raises:
        InputError: if the heatmap is not of the size of the image, or if the heatmap, opacity or
            fade is not within [0, 1].
        UnknownNameError: if matplotlib does not have the colour map.

    Example:
        >>> overlay(Image.new("RGB", (4, 3)), torch.zeros(3, 4), opacity=1, fade=0).getpixel((0, 0))
        (0, 0, 3)
    """
    input_image = read_image(image)
    heat = checked_heatmap(heatmap, input_image.size, input_image.name)
    for setting, value in (("opacity", opacity), ("fade", fade)):
        if not 0 <= value <= 1:
            raise InputError(f"Expected {setting} to be within 0 to 1, but got {value}.")
    colours = Image.fromarray(colour_table(colour_map)[np.rint(heat * 255).astype(np.uint8)])
    alpha = np.rint(255 * opacities(heat, opacity=opacity, fade=fade)).astype(np.uint8)
    blended = Image.composite(colours, input_image.image, Image.fromarray(alpha))
    return _with_legend(blended, colour_map) if legend else blended


def opacities(heat: NDArray[Any], *, opacity: float, fade: float) -> NDArray[Any]:
    """Return the opacity of the colours of each value.

    It follows a smooth step (3 v^2 - 2 v^3 for a value v): low values, which are mostly noise, are
    nearly transparent, and high values, which are mostly the object, are nearly opaque.

    Args:
        heat: values in [0, 1].
        opacity: opacity in [0, 1] where the value is 1.
        fade: share in [0, 1] by which it decreases to where the value is 0.

    Example:
        >>> opacities(np.array([0, 0.5, 1]), opacity=0.8, fade=1).tolist()
        [0.0, 0.4, 0.8]
    """
    return np.asarray(opacity * (1 - fade * (1 - heat * heat * (3 - 2 * heat))))


@lru_cache(maxsize=16)
def colour_table(name: str) -> NDArray[np.uint8]:
    """Return the 256 colours (RGB) of a colour map of matplotlib from low to high, (256, 3) uint8.

    Raises:
        UnknownNameError: if matplotlib does not have the colour map.
    """
    from matplotlib import colormaps

    if name not in colormaps:
        raise UnknownNameError.among("colour map", name, colormaps)
    table = colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
    return np.ascontiguousarray(table, dtype=np.uint8)


def colour_bar(width: int, height: int, colour_map: str) -> Image.Image:
    """Return an image of the colours of a colour map, from low (left) to high (right).

    Low values are as transparent as in an overlay.
    """
    levels = np.linspace(0, 1, width)
    colours = colour_table(colour_map)[np.rint(levels * 255).astype(int)]
    shares = opacities(levels, opacity=1, fade=FADE)[:, None]
    row = np.rint(shares * colours + (1 - shares) * np.array(PAPER)).astype(np.uint8)
    return Image.fromarray(np.repeat(row[None], height, axis=0))


def checked_heatmap(
    heatmap: Tensor | NDArray[Any], size: tuple[int, int], name: str
) -> NDArray[Any]:
    """Return a heatmap as a float32 array, after its size and range were checked.

    Args:
        heatmap: map (H, W) in [0, 1].
        size: expected height and width.
        name: name of the image, for messages.

    Raises:
        InputError: if the heatmap is of another size, or not within 0 to 1.
    """
    heat = torch.as_tensor(heatmap).detach().to("cpu", torch.float32)
    if tuple(heat.shape) != tuple(size):
        raise InputError(
            f"{name}: expected a heatmap of the image's size {tuple(size)} (height, width), "
            f"but got shape {tuple(heat.shape)}."
        )
    low, high = float(heat.min()), float(heat.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # also refuses NaN
        raise InputError(
            f"{name}: expected a heatmap within 0 to 1, but got {low:g} to {high:g}; "
            "raw scores are scaled by contrast='text' or 'image'."
        )
    return heat.clamp(0, 1).numpy()


def _with_legend(image: Image.Image, colour_map: str) -> Image.Image:
    """The image with a colour bar below it, between the words "low" and "high"."""
    font_size = max(10, min(24, image.width // 24))
    text_font = font(font_size)
    ascent, descent = text_font.metrics()
    height, gap = round(2 * (ascent + descent)), font_size // 2
    sheet = Sheet(image.width, image.height + height)
    sheet.picture((0, 0), Picture(Size(image.height, image.width), lambda size: image))
    middle = image.height + height / 2
    left = gap + int(text_font.getlength("low")) + gap
    right = image.width - gap - int(text_font.getlength("high")) - gap
    if right > left:
        size = Size(max(2, height // 3), right - left)
        bar = Picture(size, lambda size: colour_bar(size.width, size.height, colour_map))
        sheet.picture((left, middle - size.height / 2), bar)
    sheet.text((gap, middle), "low", INK, text_font, anchor="lm")
    sheet.text((image.width - gap, middle), "high", INK, text_font, anchor="rm")
    return sheet.image()
