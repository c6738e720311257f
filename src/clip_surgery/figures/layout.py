"""The layout that all figures share: rows of images, a heading, a colour bar and notes."""

from __future__ import annotations

from collections.abc import Sequence

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, font
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.overlay import colour_bar
from clip_surgery.figures.page_format import GAP, MARGIN, SCREEN, PageFormat
from clip_surgery.figures.sheet import Picture, Sheet
from clip_surgery.figures.tiles import NOTE_SIZE, Tile, tile_row
from clip_surgery.framing import Size


def gallery(
    tiles: Sequence[Tile],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    columns: int | None = None,
    colour_map: str | None = None,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Draw tiles of one size on a grid.

    Args:
        tiles: the tiles.
        heading: a line above the grid.
        notes: lines below the grid.
        columns: number of columns. If None, at most five, with rows of about the same length.
        colour_map: name of a colour map, for a bar from low to high below the grid; None for none.
        page: the format of the page.

    Raises:
        InputError: if there is no tile, or if columns is below 1.
    """
    if not tiles:
        raise InputError("Expected at least one image to draw, but got none.")
    if columns is None:
        columns = page.columns(len(tiles))
    if columns < 1:
        raise InputError(f"Expected at least 1 column, but got {columns}.")
    body = tile_rows(tiles, columns, page)
    return with_margins(body, heading=heading, notes=notes, colour_map=colour_map, page=page)


def tile_rows(tiles: Sequence[Tile], columns: int, page: PageFormat = SCREEN) -> Sheet:
    """Draw tiles of one size in rows of at most `columns`, without margins."""
    width = page.column_width(columns)
    rows = [
        tile_row(tiles[i : i + columns], column_width=width) for i in range(0, len(tiles), columns)
    ]
    return stack(rows, gap=page.row_gap)


def stack(sheets: Sequence[Sheet], *, gap: float) -> Sheet:
    """Draw sheets below each other, aligned at the left, with a gap in pixels between them."""
    height = sum(sheet.height for sheet in sheets) + gap * (len(sheets) - 1)
    stacked = Sheet(max(sheet.width for sheet in sheets), height)
    y = 0.0
    for sheet in sheets:
        stacked.paste(sheet, (0, y))
        y += sheet.height + gap
    return stacked


def beside(first: Sheet, second: Sheet, page: PageFormat = SCREEN, *, top: float = 0) -> Sheet:
    """Draw two sheets beside each other, or below each other where the page is too narrow.

    Args:
        first: the left or upper sheet.
        second: the right or lower sheet.
        page: the format of the page.
        top: how far the right sheet is below the upper edge of the left one, in pixels.
    """
    width = first.width + MARGIN + second.width
    if page.content_width is not None and width > page.content_width + 0.5:
        return stack([first, second], gap=MARGIN)
    both = Sheet(width, max(first.height, top + second.height))
    both.paste(first, (0, 0))
    both.paste(second, (first.width + MARGIN, top))
    return both


def with_margins(
    body: Sheet,
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    colour_map: str | None = None,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Draw a figure with margins, a heading above it, and a colour bar and notes below it.

    Args:
        body: the figure.
        heading: a line above it.
        notes: lines below it.
        colour_map: name of a colour map, for a bar from low to high; None for no bar.
        page: the format of the page.
    """
    text_font = font(NOTE_SIZE)
    step, margin = round(NOTE_SIZE * 1.4), page.margin
    width = page.content_width or body.width
    heading_lines = break_into_lines(heading, text_font, width=width, lines=2)
    note_lines = [
        line for note in notes for line in break_into_lines(note, text_font, width=width, lines=3)
    ]
    top = margin + len(heading_lines) * step + (GAP if heading_lines else 0)
    footer = (
        GAP + step * (len(note_lines) + (colour_map is not None)) if note_lines or colour_map else 0
    )
    paper = Sheet(width + 2 * margin, top + body.height + footer + margin)
    for index, line in enumerate(heading_lines):
        paper.text((margin, margin + index * step), line, FAINT_INK, text_font)
    paper.paste(body, (margin, top))
    y = top + body.height + GAP
    if colour_map is not None:
        _bar(paper, paper.width - margin, y + step / 2, colour_map)
        y += step
    for line in note_lines:
        paper.text((margin, y), line, FAINT_INK, text_font)
        y += step
    return paper


def _bar(paper: Sheet, right: float, middle: float, colour_map: str) -> None:
    """Draw "low", the colours and "high" at the right margin."""
    text_font, size = font(NOTE_SIZE), Size(10, 140)
    paper.text((right, middle), "high", FAINT_INK, text_font, anchor="rm")
    right -= round(text_font.getlength("high")) + 8 + size.width
    bar = Picture(size, lambda size: colour_bar(size.width, size.height, colour_map))
    paper.picture((right, round(middle - size.height / 2)), bar)
    paper.text((right - 8, middle), "low", FAINT_INK, text_font, anchor="rm")
