"""Draw the maps of several methods for the same texts and the same image as one figure.

Each method is a row with its name at the left, each text a column. Many rows are divided into
blocks side by side, so that the figure fits a screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import INK, break_into_lines, font
from clip_surgery.figures.layout import (
    GAP,
    MARGIN,
    TITLE_SIZE,
    Style,
    Tile,
    blank_image,
    stack,
    tile_row,
    with_margins,
)
from clip_surgery.figures.maps import check_count
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
from clip_surgery.inputs.images import ImageSource, read_image

LARGE_UP_TO = 3
"""Largest number of rows with large overlays. More rows are smaller and divided into blocks."""
LARGE, SMALL = 230, 170
SCREEN_RATIO = 1.5
"""Ratio of width to height that a figure with many rows should have."""


def comparison(
    image: ImageSource,
    rows: Mapping[str, Tensor],
    titles: Sequence[str],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    column_notes: Sequence[str] | None = None,
    tile: int | None = None,
    colour_map: str = COLOUR_MAP,
    opacity: float = OPACITY,
) -> Image.Image:
    """Draw the image, and next to it one row of overlays per method with one column per text.

    Args:
        image: the explained image.
        rows: for the title of each row, its heatmaps (C, H, W) in [0, 1] of the size of the image.
        titles: C titles of the columns.
        heading: a line above the figure.
        notes: lines below the figure.
        column_notes: C smaller lines below the titles of the columns, or None.
        tile: typical side of an overlay in pixels. If None, it is smaller for many rows.
        colour_map: name of a colour map of matplotlib.
        opacity: opacity of the overlays in [0, 1], where the maps are 1.

    Raises:
        InputError: if there is no row, if the numbers of maps and titles differ, if a map is not of
            the size of the image or not within [0, 1], or if tile is below 1.
    """
    input_image = read_image(image)
    if not rows:
        raise InputError("Expected at least one row of heatmaps, but got none.")
    for maps in rows.values():
        check_count("titles", titles, maps)
        if column_notes is not None:
            check_count("column_notes", column_notes, maps)
    if tile is None:
        tile = LARGE if len(rows) <= LARGE_UP_TO else SMALL
    style = Style.of(input_image, tile=tile, colour_map=colour_map, opacity=opacity)
    larger = Style.of(input_image, tile=round(tile * (1.0 if len(rows) == 1 else 1.5)))
    first = tile_row([Tile(larger.plain(input_image), "image")])
    rows_of_tiles = [
        (
            name,
            [
                Tile(style.mapped(input_image, heatmap), title, note)
                for title, note, heatmap in zip(
                    titles, column_notes or [""] * len(titles), maps, strict=True
                )
            ],
        )
        for name, maps in rows.items()
    ]
    blocks = _blocks(rows_of_tiles, first)
    body = blank_image(
        sum(block.width for block in blocks) + MARGIN * (len(blocks) - 1),
        max(block.height for block in blocks),
    )
    left = 0
    for block in blocks:
        # With few rows, the image is in the middle; with many rows, it is at the top.
        top = (body.height - block.height) // 2 if len(rows) <= LARGE_UP_TO else 0
        body.paste(block, (left, top))
        left += block.width + MARGIN
    return with_margins(body, heading=heading, notes=notes, colour_map=colour_map)


_Row = tuple[str, list[Tile]]  # the title of a row and its tiles


def _blocks(rows: Sequence[_Row], first: Image.Image) -> list[Image.Image]:
    """The image, and the rows in the number of blocks whose ratio is closest to a screen's."""
    if len(rows) <= LARGE_UP_TO:
        return [first, _block(rows)]
    layouts = []
    for count in range(1, len(rows) // 2 + 1):
        length = math.ceil(len(rows) / count)
        starts = range(0, len(rows), length)
        layouts.append([first, *(_block(rows[start : start + length]) for start in starts)])
    return min(layouts, key=_ratio_difference)


def _ratio_difference(blocks: Sequence[Image.Image]) -> float:
    """How much the ratio of blocks side by side differs from that of a screen, on a log scale."""
    width = sum(block.width for block in blocks)
    height = max(block.height for block in blocks)
    return abs(math.log(width / height / SCREEN_RATIO))


def _block(rows: Sequence[_Row]) -> Image.Image:
    """Rows below each other, with their titles at the left, and the texts above the first one."""
    labelled_rows = []
    for position, (name, tiles) in enumerate(rows):
        row = tile_row(tiles if position == 0 else [Tile(tile.image) for tile in tiles])
        label = _upright_label(name, tiles[0].image.height)
        labelled = blank_image(label.width + GAP + row.width, row.height)
        labelled.paste(label, (0, row.height - label.height))
        labelled.paste(row, (label.width + GAP, 0))
        labelled_rows.append(labelled)
    return stack(labelled_rows, gap=GAP)


def _upright_label(text: str, length: int) -> Image.Image:
    """The title of a row, written from bottom to top, `length` pixels long."""
    text_font = font(TITLE_SIZE, text, bold=True)
    lines = break_into_lines(text, text_font, width=length, lines=2)
    step = round(TITLE_SIZE * 1.25)
    label = blank_image(length, 2 * step)  # space for two lines, so that all rows are aligned
    draw = ImageDraw.Draw(label)
    for index, line in enumerate(reversed(lines)):
        y = label.height - (index + 1) * step
        draw.text((length / 2, y), line, INK, text_font, anchor="ma")
    return label.transpose(Image.Transpose.ROTATE_90)
