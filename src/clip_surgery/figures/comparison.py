"""Comparison: the same texts in the same image by several methods, as one image to look at.

Each method is a row with its name beside it, each text a column. Many methods go into blocks side
by side, so that a figure of twelve still fits a screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import INK, fit, font
from clip_surgery.figures.layout import (
    GAP,
    MARGIN,
    TITLE_SIZE,
    Style,
    Tile,
    below,
    beside,
    on_paper,
    sheet,
)
from clip_surgery.figures.maps import check_count
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
from clip_surgery.inputs.images import ImageSource, read_image

LARGE_UP_TO = 3  # rows; more are drawn smaller and may go into blocks
LARGE, SMALL = 230, 170
SCREEN = 1.5  # width to height of what a figure is looked at on


def comparison(
    image: ImageSource,
    rows: Mapping[str, Tensor],
    titles: Sequence[str],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    tile: int | None = None,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw the image, and beside it one row of overlays per method, one column per text.

    `rows` maps a row's title to its heatmaps (C, H, W) in [0, 1] of the image's size. `notes`
    stand below. `tile` is the typical side of an overlay, smaller for many rows if None.

    Raises:
        InputError: when there is no row, maps and titles are not equally many, a map is not of
            the image's size or not within [0, 1], or tile is below 1.
    """
    picture = read_image(image)
    if not rows:
        raise InputError("Expected at least one row of heatmaps, but got none.")
    for maps in rows.values():
        check_count("titles", titles, maps)
    if tile is None:
        tile = LARGE if len(rows) <= LARGE_UP_TO else SMALL
    style = Style.of(picture, tile=tile, colour_map=colour_map, opacity=opacity)
    larger = Style.of(picture, tile=round(tile * (1.0 if len(rows) == 1 else 1.5)))
    first = beside([Tile(larger.plain(picture), "picture")])
    drawn = [
        (
            name,
            [
                Tile(style.mapped(picture, heatmap), title)
                for title, heatmap in zip(titles, maps, strict=True)
            ],
        )
        for name, maps in rows.items()
    ]
    sheets = _blocks(drawn, first)
    body = sheet(
        sum(part.width for part in sheets) + MARGIN * (len(sheets) - 1),
        max(part.height for part in sheets),
    )
    left = 0
    for part in sheets:
        # few rows: the image stands in the middle; many: at the top, where reading begins
        top = (body.height - part.height) // 2 if len(rows) <= LARGE_UP_TO else 0
        body.paste(part, (left, top))
        left += part.width + MARGIN
    return on_paper(body, heading=heading, notes=notes, colour_map=colour_map)


_Row = tuple[str, list[Tile]]


def _blocks(rows: Sequence[_Row], first: Image.Image) -> list[Image.Image]:
    """The image and the rows in as many blocks as make the figure most like a screen."""
    if len(rows) <= LARGE_UP_TO:
        return [first, _block(rows)]
    layouts = []
    for count in range(1, len(rows) // 2 + 1):
        length = math.ceil(len(rows) / count)
        starts = range(0, len(rows), length)
        layouts.append([first, *(_block(rows[start : start + length]) for start in starts)])
    return min(layouts, key=_unlike_a_screen)


def _unlike_a_screen(sheets: Sequence[Image.Image]) -> float:
    width = sum(part.width for part in sheets)
    height = max(part.height for part in sheets)
    return abs(math.log(width / height / SCREEN))


def _block(rows: Sequence[_Row]) -> Image.Image:
    """Rows below each other, the texts above the first, each row's title beside it."""
    drawn = []
    for position, (name, tiles) in enumerate(rows):
        cells = tiles if position == 0 else [Tile(tile.image) for tile in tiles]
        row = beside(cells)
        label = _upright_label(name, tiles[0].image.height)
        labelled = sheet(label.width + GAP + row.width, row.height)
        labelled.paste(label, (0, row.height - label.height))
        labelled.paste(row, (label.width + GAP, 0))
        drawn.append(labelled)
    return below(drawn, gap=GAP)


def _upright_label(text: str, length: int) -> Image.Image:
    """A row's title, read from bottom to top, `length` pixels long."""
    letters = font(TITLE_SIZE, text, bold=True)
    lines = fit(text, letters, width=length, lines=2)
    step = round(TITLE_SIZE * 1.25)
    label = sheet(length, 2 * step)  # room for two lines, so that all rows begin alike
    draw = ImageDraw.Draw(label)
    for index, line in enumerate(reversed(lines)):
        y = label.height - (index + 1) * step
        draw.text((length / 2, y), line, INK, letters, anchor="ma")
    return label.transpose(Image.Transpose.ROTATE_90)
