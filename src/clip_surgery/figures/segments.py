"""Draw a segmentation as a figure, with the colour, name, share and presence of each class."""

from __future__ import annotations

from collections.abc import Sequence
from colorsys import hls_to_rgb

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, font
from clip_surgery.figures.layout import beside, with_margins
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.page_format import GAP, SCREEN, PageFormat
from clip_surgery.figures.sheet import Picture, Sheet
from clip_surgery.figures.tiles import Style, Tile, tile_row
from clip_surgery.framing import Size
from clip_surgery.inputs.images import ImageSource, read_image

LISTED = 16
"""Largest number of classes in the legend."""
SIZE = 15
SWATCH = 18
LINE = 26
NAMES, SHARES, PRESENCES = 210, 70, 90
"""Font size, side of a colour field, height of a line, and widths of the columns of the legend, in
pixels."""
BACKGROUND = "background"
OUTLINES = ((255, 255, 255), (20, 20, 20))
"""Colours (RGB) of the line between classes and of the line around it, visible on any image."""
DISTINCT = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66),
    (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
"""Colours (RGB) of the first classes, which colour-blind readers tell apart (Okabe and Ito)."""
GOLDEN_ANGLE = 0.618034  # of a turn: the hues of successive classes are far apart


def segmentation_figure(
    image: ImageSource,
    segmentation: Tensor,
    names: Sequence[str],
    *,
    presences: Sequence[float] | None = None,
    heading: str = "",
    tile: int = 420,
    opacity: float = 0.6,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Draw the image, its segmentation in colours with outlines, and a legend.

    The colours are those of `class_colours`, which are easier to tell apart than the palette of
    mask files.

    Args:
        image: the image.
        segmentation: class of each pixel (H, W) of the size of the image; -1 for no class.
        names: names of the classes.
        presences: for each class the probability in [0, 1] that it is in the image, or None.
        heading: a line above the figure.
        tile: typical side in pixels of image and segmentation.
        opacity: opacity of the colours in [0, 1].
        page: the format of the page.

    Raises:
        InputError: if the segmentation is not of the size of the image, if a class has no name, or
            if the numbers of names and presences differ.
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
    if presences is not None and len(presences) != len(names):
        raise InputError(
            f"Expected a presence for each of {len(names)} classes, but got {len(presences)}."
        )
    legend = _legend(classes, names, presences)
    width = page.width_beside(legend.width)
    column = None if width is None else (width - GAP) / 2
    if column is None:
        style = Style.of(input_image, tile=tile)
    else:
        style = Style.filling(input_image, column)
    plain = style.plain(input_image)

    def coloured(size: Size) -> Image.Image:
        return _coloured(plain.draw(size), classes, len(names), opacity)

    tiles = [Tile(plain, "image"), Tile(Picture(plain.size, coloured), "classes")]
    row = tile_row(tiles, column_width=column)
    return with_margins(
        beside(row, legend, page, top=row.height - plain.size.height), heading=heading, page=page
    )


def class_colours(count: int) -> NDArray[np.uint8]:
    """Return a colour (RGB) for each class, (count, 3) uint8, the same for each number of classes.

    Example:
        >>> class_colours(9)[0].tolist()
        [230, 159, 0]
    """
    colours = list(DISTINCT[:count])
    for index in range(len(DISTINCT), count):
        lightness = (0.3, 0.8, 0.55)[index % 3]
        red, green, blue = hls_to_rgb(index * GOLDEN_ANGLE % 1, lightness, 0.75)
        colours.append((round(255 * red), round(255 * green), round(255 * blue)))
    return np.array(colours, np.uint8).reshape(-1, 3)


def _coloured(
    plain: Image.Image, classes: NDArray[np.int64], count: int, opacity: float
) -> Image.Image:
    """The image in the colours of its classes, darker in the background, with outlines."""
    columns = np.arange(plain.width) * classes.shape[1] // plain.width
    rows = np.arange(plain.height) * classes.shape[0] // plain.height
    labels = classes[rows[:, None], columns]
    palette = np.concatenate([class_colours(count), np.zeros((1, 3), np.uint8)])  # -1 is the last
    shares = np.where(labels >= 0, opacity, 0.35)[..., None]
    mixed = (1 - shares) * np.asarray(plain) + shares * palette[labels]
    border = np.zeros(labels.shape, bool)
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[1:] |= labels[1:] != labels[:-1]
    wide = border.copy()
    wide[:, :-1] |= border[:, 1:]
    wide[:-1] |= border[1:]
    wide[:, 1:] |= border[:, :-1]
    wide[1:] |= border[:-1]
    mixed[wide] = OUTLINES[1]
    mixed[border] = OUTLINES[0]
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def resized(segmentation: Tensor, size: Size) -> Tensor:
    """Return a segmentation (H, W) in another size, with the class of the nearest pixel."""
    values = segmentation[None, None].float()
    return F.interpolate(values, size=list(size), mode="nearest")[0, 0].long()


def _legend(
    classes: NDArray[np.int64], names: Sequence[str], presences: Sequence[float] | None
) -> Sheet:
    """The classes of the segmentation, the largest first, each with colour, share and presence."""
    numbers, counts = np.unique(classes, return_counts=True)
    order = counts.argsort()[::-1]
    rows = [(int(numbers[i]), float(counts[i]) / classes.size) for i in order]
    listed, left_out = rows[:LISTED], len(rows[LISTED:])
    text_font = font(SIZE)
    small = font(SIZE - 2)
    lines_of = [
        break_into_lines(
            names[number] if number >= 0 else BACKGROUND, text_font, width=NAMES, lines=8
        )
        for number, _ in listed
    ]
    left = SWATCH + GAP
    share_edge = left + NAMES + SHARES
    width = share_edge + (PRESENCES if presences is not None else 0)
    height = LINE + sum(LINE + (len(lines) - 1) * SIZE for lines in lines_of if lines)
    legend = Sheet(width, height + LINE * bool(left_out) + 4)
    legend.text((share_edge, LINE / 2), "share", FAINT_INK, small, "rm")
    if presences is not None:
        legend.text((width, LINE / 2), "presence", FAINT_INK, small, "rm")
    colours = class_colours(len(names))
    top = LINE
    for (number, share), lines in zip(listed, lines_of, strict=True):
        red, green, blue = colours[number].tolist() if number >= 0 else (0, 0, 0)
        legend.box((0, top + 4), (SWATCH, SWATCH), (red, green, blue), outline=OUTLINES[1])
        middle = top + 4 + SWATCH / 2
        for index, line in enumerate(lines):
            legend.text((left, middle + index * (SIZE + 2)), line, INK, text_font, "lm")
        legend.text((share_edge, middle), f"{share:.1%}", INK, text_font, "rm")
        if presences is not None and number >= 0:
            legend.text((width, middle), f"{presences[number]:.0%}", INK, text_font, "rm")
        top += LINE + (max(1, len(lines)) - 1) * SIZE
    if left_out:
        legend.text((0, top + LINE / 2), f"and {left_out} more", FAINT_INK, text_font, "lm")
    return legend
