"""Segments: a segmentation as a figure, its classes in colours with their names and shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, fit, font
from clip_surgery.figures.layout import GAP, MARGIN, Style, Tile, beside, on_paper, sheet
from clip_surgery.framing import Size
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.records.mask_files import palette_image

LISTED = 16
SIZE = 15
SWATCH = 18
LINE = 26
LEGEND = 220  # pixels wide
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
    """Draw the image, its classes in the colours of `palette_image`, and what they mean.

    `segmentation` is (H, W) of the image's size, -1 where there is no class.

    Raises:
        InputError: when it is not of the image's size, or a class has no name.
    """
    picture = read_image(image)
    if tuple(segmentation.shape) != tuple(picture.size):
        raise InputError(
            f"{picture.name}: expected a segmentation of the image's size {tuple(picture.size)} "
            f"(height, width), but got {tuple(segmentation.shape)}."
        )
    classes = segmentation.cpu().numpy()
    if classes.size and classes.max() >= len(names):
        raise InputError(f"Expected a name for class {classes.max()}, but got {len(names)} names.")
    style = Style.of(picture, tile=tile)
    plain = style.plain(picture)
    labels = palette_image(classes).resize(plain.size, Image.Resampling.NEAREST)
    coloured = Image.blend(plain, labels.convert("RGB"), opacity)
    is_class = Image.fromarray(np.where(np.asarray(labels) > 0, 255, 0).astype(np.uint8))
    faint = Image.blend(plain, Image.new("RGB", plain.size), 0.35)
    row = beside(
        [Tile(plain, "picture"), Tile(Image.composite(coloured, faint, is_class), "classes")]
    )
    legend = _legend(classes, names, palette_image(classes).getpalette() or [])
    body = sheet(row.width + MARGIN + legend.width, max(row.height, legend.height))
    body.paste(row, (0, 0))
    body.paste(legend, (row.width + MARGIN, row.height - plain.height if row.height > LINE else 0))
    return on_paper(body, heading=heading)


def resized(segmentation: Tensor, size: Size) -> Tensor:
    """A segmentation (H, W) at another size, each pixel a class that was there."""
    values = segmentation[None, None].float()
    return F.interpolate(values, size=list(size), mode="nearest")[0, 0].long()


def _legend(
    classes: np.ndarray[tuple[int, int], np.dtype[np.int64]],
    names: Sequence[str],
    palette: Sequence[int],
) -> Image.Image:
    """The classes that are there, the largest first, each with its colour and share."""
    found, counts = np.unique(classes, return_counts=True)
    order = counts.argsort()[::-1]
    rows = [(int(found[i]), float(counts[i]) / classes.size) for i in order]
    listed, left_out = rows[:LISTED], len(rows[LISTED:])
    letters = font(SIZE, *(names[number] for number, _ in listed if number >= 0))
    legend = sheet(LEGEND, LINE * (len(listed) + bool(left_out)) + 4)
    draw = ImageDraw.Draw(legend)
    for index, (number, share) in enumerate(listed):
        top = index * LINE
        red, green, blue = palette[3 * (number + 1) : 3 * (number + 2)]
        draw.rectangle((0, top + 4, SWATCH, top + 4 + SWATCH), fill=(red, green, blue))
        told = f"{share:.1%}"
        room = LEGEND - SWATCH - 2 * GAP - letters.getlength("100.0%")
        name = BACKGROUND if number < 0 else names[number]
        for line in fit(name, letters, width=room, lines=1):
            draw.text((SWATCH + GAP // 2 + 2, top + 4 + SWATCH / 2), line, INK, letters, "lm")
        draw.text((LEGEND, top + 4 + SWATCH / 2), told, FAINT_INK, letters, "rm")
    if left_out:
        told = f"and {left_out} more"
        draw.text((0, LINE * len(listed) + LINE / 2), told, FAINT_INK, letters, "lm")
    return legend
