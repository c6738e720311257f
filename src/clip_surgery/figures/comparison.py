"""Draw the maps of several methods for the same texts and the same image as one figure.

Each method is a row with its name at the left, each text a column. Many rows are divided into
blocks side by side, so that the figure fits a screen. On a page with a width, many columns are
divided into blocks below each other instead.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import INK, font
from clip_surgery.figures.layout import stack, with_margins
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.maps import check_count
from clip_surgery.figures.overlay import COLOUR_MAP, OPACITY
from clip_surgery.figures.page_format import GAP, MARGIN, SCREEN, PageFormat
from clip_surgery.figures.sheet import Sheet
from clip_surgery.figures.tiles import TITLE_SIZE, Style, Tile, tile_row
from clip_surgery.inputs.images import ImageSource, InputImage, read_image

LARGE_UP_TO = 3
"""Largest number of rows with large overlays. More rows are smaller and divided into blocks."""
LARGE, SMALL = 230, 170
SCREEN_RATIO = 1.5
"""Ratio of width to height that a figure with many rows should have."""
NARROWEST = 87
"""Width in pixels of the narrowest overlay on a page with a width: 13 mm in print."""
TALLEST = 0.9
"""Height of the rows of a page in widths of the page, above which they are divided into blocks."""
LABEL = 2 * round(TITLE_SIZE * 1.25)
"""Width in pixels of the titles of the rows: two lines, so that all rows are aligned."""
LARGER = 1.5
"""Width of the image in widths of an overlay, if there are two rows or more."""


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
    page: PageFormat = SCREEN,
) -> Sheet:
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
        page: the format of the page.

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
    larger = 1.0 if len(rows) == 1 else LARGER
    is_centred = len(rows) <= LARGE_UP_TO  # with many rows, the image is at the top
    if page.content_width is None:
        if tile is None:
            tile = LARGE if is_centred else SMALL
        style = Style.of(input_image, tile=tile, colour_map=colour_map, opacity=opacity)
        first_style = Style.of(input_image, tile=round(tile * larger))
        first = tile_row([Tile(first_style.plain(input_image), "image")])
        tiles = _rows_of_tiles(input_image, rows, titles, column_notes, style)
        body = _side_by_side(_blocks(tiles, first), is_centred=is_centred)
    else:
        grid = PrintGrid.of(page.content_width, len(rows), len(titles), larger)
        width = grid.column_width
        style = Style.filling(input_image, width, colour_map=colour_map, opacity=opacity)
        first_style = Style.filling(input_image, larger * width)
        first = tile_row(
            [Tile(first_style.plain(input_image), "image")], column_width=larger * width
        )
        tiles = _rows_of_tiles(input_image, rows, titles, column_notes, style)
        body = stack(
            [
                _side_by_side(
                    [first if start == 0 else Sheet(first.width, 0), *grid.blocks(tiles, start)],
                    is_centred=is_centred,
                )
                for start in range(0, len(titles), grid.texts)
            ],
            gap=MARGIN,
        )
    return with_margins(body, heading=heading, notes=notes, colour_map=colour_map, page=page)


_Row = tuple[str, list[Tile]]  # the title of a row and its tiles


def _rows_of_tiles(
    image: InputImage,
    rows: Mapping[str, Tensor],
    titles: Sequence[str],
    notes: Sequence[str] | None,
    style: Style,
) -> list[_Row]:
    """The title and the tiles of each row."""
    return [
        (
            name,
            [
                Tile(style.mapped(image, heatmap), title, note)
                for title, note, heatmap in zip(
                    titles, notes or [""] * len(titles), maps, strict=True
                )
            ],
        )
        for name, maps in rows.items()
    ]


@dataclass(frozen=True)
class PrintGrid:
    """How a comparison is divided on a page with a width.

    Attributes:
        texts: number of texts in a block; more texts are continued in blocks below.
        rows: number of rows in a block; more rows are continued in blocks beside it.
        column_width: width of an overlay in pixels.
    """

    texts: int
    rows: int
    column_width: float

    @classmethod
    def of(cls, width: float, rows: int, texts: int, larger: float) -> PrintGrid:
        """Return the division with the largest overlays whose page is not too tall.

        Args:
            width: width of the page in pixels.
            rows: number of rows.
            texts: number of texts.
            larger: width of the image in widths of an overlay.
        """

        def column_width(columns: int, blocks: int) -> float:
            space = width - blocks * (MARGIN + LABEL) - columns * GAP
            return space / (columns + larger)

        fitting = [n for n in range(1, texts + 1) if column_width(n, 1) >= NARROWEST]
        parts = math.ceil(texts / max(fitting, default=1))
        columns = math.ceil(texts / parts)
        blocks = 1
        while (
            parts == 1
            and blocks < rows // 2
            and rows / blocks * column_width(blocks * columns, blocks) > TALLEST * width
            and column_width((blocks + 1) * columns, blocks + 1) >= NARROWEST
        ):
            blocks += 1
        return cls(columns, math.ceil(rows / blocks), column_width(blocks * columns, blocks))

    def blocks(self, rows: Sequence[_Row], start: int) -> list[Sheet]:
        """Return the blocks that stand beside each other, with the texts from a number on."""
        part = [(name, tiles[start : start + self.texts]) for name, tiles in rows]
        return [
            _block(part[row : row + self.rows], column_width=self.column_width)
            for row in range(0, len(part), self.rows)
        ]


def _side_by_side(blocks: Sequence[Sheet], *, is_centred: bool) -> Sheet:
    """Blocks beside each other, in the middle or at the top."""
    body = Sheet(
        sum(block.width for block in blocks) + MARGIN * (len(blocks) - 1),
        max(block.height for block in blocks),
    )
    left = 0.0
    for block in blocks:
        top = (body.height - block.height) // 2 if is_centred else 0
        body.paste(block, (left, top))
        left += block.width + MARGIN
    return body


def _blocks(rows: Sequence[_Row], first: Sheet) -> list[Sheet]:
    """The image, and the rows in the number of blocks whose ratio is closest to a screen's."""
    if len(rows) <= LARGE_UP_TO:
        return [first, _block(rows)]
    layouts = []
    for count in range(1, len(rows) // 2 + 1):
        length = math.ceil(len(rows) / count)
        starts = range(0, len(rows), length)
        layouts.append([first, *(_block(rows[start : start + length]) for start in starts)])
    return min(layouts, key=_ratio_difference)


def _ratio_difference(blocks: Sequence[Sheet]) -> float:
    """How much the ratio of blocks side by side differs from that of a screen, on a log scale."""
    width = sum(block.width for block in blocks)
    height = max(block.height for block in blocks)
    return abs(math.log(width / height / SCREEN_RATIO))


def _block(rows: Sequence[_Row], *, column_width: float | None = None) -> Sheet:
    """Rows below each other, with their titles at the left, and the texts above the first one."""
    labelled_rows = []
    for position, (name, tiles) in enumerate(rows):
        shown = tiles if position == 0 else [Tile(tile.picture) for tile in tiles]
        row = tile_row(shown, column_width=column_width)
        labelled = Sheet(LABEL + GAP + row.width, row.height)
        height = tiles[0].picture.size.height
        _add_label(labelled, name, row.height - height, height)
        labelled.paste(row, (LABEL + GAP, 0))
        labelled_rows.append(labelled)
    return stack(labelled_rows, gap=GAP)


def _add_label(row: Sheet, text: str, top: float, length: float) -> None:
    """Write the title of a row from bottom to top, in at most two lines next to its overlays."""
    text_font = font(TITLE_SIZE, bold=True)
    lines = break_into_lines(text, text_font, width=length, lines=2)
    step = LABEL / 2
    for index, line in enumerate(reversed(lines)):
        row.upright_text((LABEL - (index + 0.5) * step, top + length / 2), line, INK, text_font)
