"""Draw points, boxes and masks on an image."""

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
"""Colours (RGB) of points on the object, of points off it, and of the edges of both."""
_OVERSAMPLING = 4  # annotations are drawn larger and reduced, because Pillow does not antialias


def draw_annotations(
    image: Image.Image,
    original: Size,
    *,
    points: Points | None = None,
    boxes: Sequence[Box] = (),
) -> Image.Image:
    """Draw points and boxes on an image.

    Points on the object are discs, points off it are crosses.

    Args:
        image: the image to draw on; a copy of the original image of any size.
        original: size of the original image.
        points: points with coordinates (x, y) in pixels of the original image, or None.
        boxes: boxes in pixels of the original image.

    Returns:
        A new image of the size of `image`.

    Example:
        >>> box = Box(xyxy=(10, 10, 30, 30), score=1.0, area=400)
        >>> draw_annotations(Image.new("RGB", (40, 40)), Size(80, 80), boxes=[box]).size
        (40, 40)
    """
    layer = Image.new("RGBA", (image.width * _OVERSAMPLING, image.height * _OVERSAMPLING))
    draw = ImageDraw.Draw(layer)
    scale = np.array([layer.width / original.width, layer.height / original.height])
    unit = _OVERSAMPLING * max(1.0, min(image.size) / 240)
    for box in boxes:
        corners = tuple((np.array(box.xyxy).reshape(2, 2) * scale).ravel().tolist())
        draw.rectangle(corners, outline=(*EDGE, 255), width=round(4 * unit))
        draw.rectangle(corners, outline=(*ON, 255), width=round(2 * unit))
    if points is not None:
        for x, y in (points.negatives * scale).tolist():
            for width, colour in ((4.5 * unit, EDGE), (2.2 * unit, OFF)):
                _cross(draw, x, y, 4 * unit, round(width), colour)
        for x, y in (points.positives[::-1] * scale).tolist():  # the best point is drawn last
            _disc(draw, x, y, 6 * unit, EDGE)
            _disc(draw, x, y, 4.2 * unit, ON)
    reduced = layer.resize(image.size, Image.Resampling.LANCZOS)
    return Image.alpha_composite(image.convert("RGBA"), reduced).convert("RGB")


def cut_out(image: Image.Image, mask: Tensor, *, colour: tuple[int, int, int] = ON) -> Image.Image:
    """Darken an image outside of a mask, and draw the border of the mask.

    Args:
        image: the image.
        mask: (H, W) bool, resized to the image if its size differs.
        colour: colour (RGB) of the border.

    Raises:
        InputError: if the mask does not have two axes.
    """
    if mask.ndim != 2:
        raise InputError(f"Expected a mask (H, W), but got {tuple(mask.shape)}.")
    inside = Image.fromarray(mask.cpu().numpy().astype(np.uint8) * 255)
    inside = inside.resize(image.size, Image.Resampling.BILINEAR).point(
        lambda value: 255 if value >= 128 else 0
    )
    grey = Image.blend(image.convert("L").convert("RGB"), Image.new("RGB", image.size), 0.6)
    darkened = Image.composite(image, grey, inside)
    width = 3 if min(image.size) < 480 else 5
    # Images smaller than MaxFilter allows get no border.
    wider = inside.filter(ImageFilter.MaxFilter(width)) if min(image.size) >= width else inside
    border = ImageChops.subtract(wider, inside)
    return Image.composite(Image.new("RGB", image.size, colour), darkened, border)


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
