"""Draw a segmentation as a figure, with the colour, name and area of each class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, break_into_lines, font
from clip_surgery.figures.layout import (
    GAP,
    MARGIN,
    Style,
    Tile,
    blank_image,
    tile_row,
    with_margins,
)
from clip_surgery.framing import Size
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.records.mask_files import palette_image

LISTED = 16
"""Largest number of classes in the legend."""
SIZE = 15
SWATCH = 18
LINE = 26
LEGEND = 220
"""Font size, side of a colour field, height of a line, width of the legend, in pixels."""
BACKGROUND = "background"


def segmentation_figure(
    image: ImageSource,
    segmentation: Tensor,
    names: Sequence[str],
    *,
    heading: str = "",
    tile: int = 420,
    opacity: float = 0.6,
) -> Image.Image:
    """Draw the image, its segmentation in the colours of `palette_image`, and a legend.

    Args:
        image: the image.
        segmentation: class of each pixel (H, W) of the size of the image; -1 for no class.
        names: names of the classes.
        heading: a line above the figure.
        tile: typical side in pixels of image and segmentation.
        opacity: opacity of the colours in [0, 1].

    Raises:
        InputError: if the segmentation is not of the size of the image, or if a class has no name.
    """
    input_image = read_image(image)
    if tuple(segmentation.shape) != tuple(input_image.size):
        raise InputError(
            f"{input_image.name}: expected a segmentation of the image's size "
            f"{tuple(input_image.size)} (height, width), but got {tuple(segmentation.shape)}."
        )
    classes = segmentation.cpu().numpy()
    if classes.size and classes.max() >= len(names):
        raise InputError(f"Expected a name for class {classes.max()}, but got {len(names)} names.")
    style = Style.of(input_image, tile=tile)
    plain = style.plain(input_image)
    labels = palette_image(classes).resize(plain.size, Image.Resampling.NEAREST)
    coloured = Image.blend(plain, labels.convert("RGB"), opacity)
    is_class = Image.fromarray(np.where(np.asarray(labels) > 0, 255, 0).astype(np.uint8))
    darkened = Image.blend(plain, Image.new("RGB", plain.size), 0.35)
    row = tile_row(
        [Tile(plain, "image"), Tile(Image.composite(coloured, darkened, is_class), "classes")]
    )
    legend = _legend(classes, names, palette_image(classes).getpalette() or [])
    body = blank_image(row.width + MARGIN + legend.width, max(row.height, legend.height))
    body.paste(row, (0, 0))
    body.paste(legend, (row.width + MARGIN, row.height - plain.height if row.height > LINE else 0))
    return with_margins(body, heading=heading)


def resized(segmentation: Tensor, size: Size) -> Tensor:
    """Return a segmentation (H, W) in another size, with the class of the nearest pixel."""
    values = segmentation[None, None].float()
    return F.interpolate(values, size=list(size), mode="nearest")[0, 0].long()


def _legend(
    classes: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    names: Sequence[str],
    palette: Sequence[int],
) -> Image.Image:
    """The classes of the segmentation, the largest first, each with its colour and share."""
    numbers, counts = np.unique(classes, return_counts=True)
    order = counts.argsort()[::-1]
    rows = [(int(numbers[i]), float(counts[i]) / classes.size) for i in order]
    listed, left_out = rows[:LISTED], len(rows[LISTED:])
    text_font = font(SIZE, *(names[number] for number, _ in listed if number >= 0))
    legend = blank_image(LEGEND, LINE * (len(listed) + bool(left_out)) + 4)
    draw = ImageDraw.Draw(legend)
    for index, (number, share) in enumerate(listed):
        top = index * LINE
        red, green, blue = palette[3 * (number + 1) : 3 * (number + 2)]
        draw.rectangle((0, top + 4, SWATCH, top + 4 + SWATCH), fill=(red, green, blue))
        name_width = LEGEND - SWATCH - 2 * GAP - text_font.getlength("100.0%")
        name = BACKGROUND if number < 0 else names[number]
        for line in break_into_lines(name, text_font, width=name_width, lines=1):
            draw.text((SWATCH + GAP // 2 + 2, top + 4 + SWATCH / 2), line, INK, text_font, "lm")
        draw.text((LEGEND, top + 4 + SWATCH / 2), f"{share:.1%}", FAINT_INK, text_font, "rm")
    if left_out:
        y = LINE * len(listed) + LINE / 2
        draw.text((0, y), f"and {left_out} more", FAINT_INK, text_font, "lm")
    return legend
