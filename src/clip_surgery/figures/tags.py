"""Draw an image and its tags with bars for their scores as one figure."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

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
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.tasks.tags import Tag

SIZE = 16
LINE = 28
NAMES, BARS = 190, 190
"""Font size, height of a line, width of the names and of the bars, in pixels."""
BAR_COLOUR = (70, 110, 190)


def tags_figure(
    image: ImageSource,
    tags: Sequence[Tag],
    *,
    heading: str = "",
    top: int = 15,
    tile: int = 380,
) -> Image.Image:
    """Draw the image and a bar for each of its best tags.

    The length of a bar is proportional to the score; scores of 0 or less have no bar.

    Args:
        image: the image.
        tags: tags, best first.
        heading: a line above the figure.
        top: maximum number of tags that are drawn.
        tile: typical side of the image in pixels.

    Raises:
        InputError: if top is below 1.
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 tag, but got {top}.")
    input_image = read_image(image)
    first = tile_row([Tile(Style.of(input_image, tile=tile).plain(input_image), "image")])
    bars = _bars(tags[:top], left_out=len(tags[top:]))
    body = blank_image(first.width + MARGIN + bars.width, max(first.height, bars.height))
    body.paste(first, (0, 0))
    body.paste(bars, (first.width + MARGIN, 0))
    return with_margins(body, heading=heading)


def _bars(tags: Sequence[Tag], *, left_out: int) -> Image.Image:
    """Names, bars and scores of the tags, and a line with the number of tags left out."""
    text_font = font(SIZE, *(tag.text for tag in tags))
    numbers = round(text_font.getlength("-0.0000"))
    bars = blank_image(
        NAMES + GAP + BARS + GAP + numbers, LINE * max(1, len(tags) + bool(left_out))
    )
    draw = ImageDraw.Draw(bars)
    if not tags:
        draw.text((0, LINE / 2), "nothing found", FAINT_INK, text_font, "lm")
    best = max((tag.score for tag in tags), default=0.0)
    for index, tag in enumerate(tags):
        middle = LINE * index + LINE / 2
        for line in break_into_lines(tag.text, text_font, width=NAMES, lines=1):
            draw.text((0, middle), line, INK, text_font, "lm")
        length = max(0.0, tag.score / best) * BARS if best > 0 else 0.0
        if length >= 1:
            left = NAMES + GAP
            draw.rectangle((left, middle - 8, left + length, middle + 8), fill=BAR_COLOUR)
        draw.text((bars.width, middle), f"{tag.score:.3f}", FAINT_INK, text_font, "rm")
    if left_out:
        middle = LINE * len(tags) + LINE / 2
        draw.text((0, middle), f"and {left_out} more", FAINT_INK, text_font, "lm")
    return bars
