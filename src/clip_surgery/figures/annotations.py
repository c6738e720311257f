"""Marks: clicks, boxes and masks drawn on an image, so that they can be checked by eye."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.framing import Size
from clip_surgery.tasks.boxes import Box
from clip_surgery.tasks.points import Points

ON, OFF, EDGE = (24, 190, 96), (228, 44, 52), (255, 255, 255)
_FINE = 4  # marks are drawn this much larger and shrunk: Pillow's own edges are ragged


def marked(
    image: Image.Image,
    original: Size,
    *,
    points: Points | None = None,
    boxes: Sequence[Box] = (),
) -> Image.Image:
    """Draw clicks (discs on the object, crosses off it) and boxes on an image.

    Points and boxes are in pixels of the `original` image, of which `image` is a copy of any
    size.

    Example:
        >>> box = Box(xyxy=(10, 10, 30, 30), score=1.0, area=400)
        >>> marked(Image.new("RGB", (40, 40)), Size(80, 80), boxes=[box]).size
        (40, 40)
    """
    layer = Image.new("RGBA", (image.width * _FINE, image.height * _FINE))
    draw = ImageDraw.Draw(layer)
    scale = np.array([layer.width / original.width, layer.height / original.height])
    unit = _FINE * max(1.0, min(image.size) / 240)
    for box in boxes:
        corners = tuple((np.array(box.xyxy).reshape(2, 2) * scale).ravel().tolist())
        draw.rectangle(corners, outline=(*EDGE, 255), width=round(4 * unit))
        draw.rectangle(corners, outline=(*ON, 255), width=round(2 * unit))
    if points is not None:
        for x, y in (points.negatives * scale).tolist():
            for width, colour in ((4.5 * unit, EDGE), (2.2 * unit, OFF)):
                _cross(draw, x, y, 4 * unit, round(width), colour)
        for x, y in (points.positives[::-1] * scale).tolist():  # the best on top
            _disc(draw, x, y, 6 * unit, EDGE)
            _disc(draw, x, y, 4.2 * unit, ON)
    small = layer.resize(image.size, Image.Resampling.LANCZOS)
    return Image.alpha_composite(image.convert("RGBA"), small).convert("RGB")


def cut_out(image: Image.Image, mask: Tensor, *, colour: tuple[int, int, int] = ON) -> Image.Image:
    """Dim what lies outside a mask (H, W) of bool, and draw its border.

    Raises:
        InputError: when the mask is not (H, W).
    """
    if mask.ndim != 2:
        raise InputError(f"Expected a mask (H, W), but got {tuple(mask.shape)}.")
    inside = Image.fromarray(mask.cpu().numpy().astype(np.uint8) * 255)
    inside = inside.resize(image.size, Image.Resampling.BILINEAR).point(
        lambda value: 255 if value >= 128 else 0
    )
    grey = Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size), 0.6)
    shown = Image.composite(image, grey, inside)
    width = 3 if min(image.size) < 480 else 5
    # a border only where there is a mask on one side: MaxFilter takes at least 3 px
    wider = inside.filter(ImageFilter.MaxFilter(width)) if min(image.size) >= width else inside
    border = ImageChops.subtract(wider, inside)
    return Image.composite(Image.new("RGB", image.size, colour), shown, border)


def _disc(
    draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: tuple[int, int, int]
) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(*colour, 255))


def _cross(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    reach: float,
    width: int,
    colour: tuple[int, int, int],
) -> None:
    for slope in (1, -1):
        line = (x - reach, y - slope * reach, x + reach, y + slope * reach)
        draw.line(line, fill=(*colour, 255), width=width)
