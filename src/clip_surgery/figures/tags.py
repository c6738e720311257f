"""Draw an image and its tags with bars for their scores as one figure."""

from __future__ import annotations

from collections.abc import Sequence

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, font
from clip_surgery.figures.layout import beside, with_margins
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.page_format import GAP, SCREEN, PageFormat
from clip_surgery.figures.sheet import Sheet
from clip_surgery.figures.tiles import Style, Tile, tile_row
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.tasks.tags import Tag

SIZE = 16
LINE = 28
NAMES, BARS = 340, 190
"""Font size, height of a line, largest width of the names and width of the bars, in pixels."""
NAME_LINES = 2
WIDEST_ON_PAGE = 380
"""Largest width of the image on a page with a width, in pixels."""
BAR_COLOUR = (70, 110, 190)


def tags_figure(
    image: ImageSource,
    tags: Sequence[Tag],
    *,
    heading: str = "",
    top: int = 15,
    tile: int = 380,
    page: PageFormat = SCREEN,
) -> Sheet:
    """Draw the image and a bar for each of its best tags.

    The length of a bar is proportional to the score; scores of 0 or less have no bar.

    Args:
        image: the image.
        tags: tags, best first.
        heading: a line above the figure.
        top: maximum number of tags that are drawn.
        tile: typical side of the image in pixels.
        page: the format of the page.

    Raises:
        InputError: if top is below 1.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 tag, but got {top}.")
    input_image = read_image(image)
    listed, left_out = tags[:top], len(tags[top:])
    bars = _bars(listed, left_out=left_out)
    width = page.width_beside(bars.width)
    if width is None:
        style = Style.of(input_image, tile=tile)
    else:
        style = Style.filling(input_image, min(width, WIDEST_ON_PAGE))
        # The bars fill what the image leaves.
        bars = _bars(listed, left_out=left_out, width=page.width_beside(style.size.width))
    first = tile_row([Tile(style.plain(input_image), "image")])
    return with_margins(beside(first, bars, page), heading=heading, page=page)


def _bars(tags: Sequence[Tag], *, left_out: int, width: float | None = None) -> Sheet:
    """Names, bars and scores of the tags, and a line with the number of tags left out.

    Without a width in pixels, they have their typical widths.
    """
    text_font = font(SIZE)
    longest = NAMES if width is None else min(NAMES, 0.45 * width)
    lines_of = [
        break_into_lines(tag.text, text_font, width=longest, lines=NAME_LINES) for tag in tags
    ]
    names = round(
        max((text_font.getlength(line) for lines in lines_of for line in lines), default=0)
    )
    numbers = round(text_font.getlength("-0.0000"))
    height = sum(_height(lines) for lines in lines_of) + LINE * (bool(left_out) or not tags)
    columns = max(names, min(120, round(longest))) + GAP + GAP + numbers
    length = BARS if width is None else max(1.0, width - columns)
    bars = Sheet(columns + length, height)
    if not tags:
        bars.text((0, LINE / 2), "nothing found", FAINT_INK, text_font, "lm")
    best = max((tag.score for tag in tags), default=0.0)
    top = 0
    for tag, lines in zip(tags, lines_of, strict=True):
        middle = top + _height(lines) / 2
        for index, line in enumerate(lines):
            y = middle + (index - (len(lines) - 1) / 2) * (SIZE + 2)
            bars.text((names, y), line, INK, text_font, "rm")
        filled = max(0.0, tag.score / best) * length if best > 0 else 0.0
        if filled >= 1:
            left = names + GAP
            bars.box((left, middle - 8), (filled, 16), BAR_COLOUR)
        bars.text((bars.width, middle), f"{tag.score:.3f}", FAINT_INK, text_font, "rm")
        top += _height(lines)
    if left_out:
        bars.text((0, top + LINE / 2), f"and {left_out} more", FAINT_INK, text_font, "lm")
    return bars


def _height(lines: Sequence[str]) -> int:
    """The height of a tag whose name has these lines, in pixels."""
    return LINE + max(0, len(lines) - 1) * (SIZE + 2)
