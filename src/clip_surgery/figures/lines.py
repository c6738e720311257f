"""Break text into lines of a width."""

from __future__ import annotations

import re
from bisect import bisect_right

from clip_surgery.figures.fonts import Font
from clip_surgery.figures.scripts import shortened


def break_into_lines(text: str, text_font: Font, *, width: float, lines: int) -> list[str]:
    """Break a text into lines; a text that does not fit is cut and ends in "…".

    Args:
        text: the text.
        text_font: the font.
        width: width of a line in pixels.
        lines: maximum number of lines.

    Example:
        >>> from clip_surgery.figures.fonts import font
        >>> break_into_lines("a very small dog", font(10), width=60, lines=2)
        ['a very', 'small dog']
    """
    remaining = " ".join(text.split())
    fitted: list[str] = []
    while remaining and len(fitted) < lines - 1:
        line = _longest_start(remaining, text_font, width)
        fitted.append(line)
        remaining = remaining[len(line) :].strip()
    if remaining and text_font.getlength(remaining) > width:
        start = _cut(remaining, width - text_font.getlength("…"), text_font)
        remaining = start.rstrip() + "…"
    return [*fitted, remaining] if remaining else fitted


def _longest_start(text: str, text_font: Font, width: float) -> str:
    """The longest start of a text that fits into a line.

    It consists of whole words if possible. A single word that is too long is broken before a
    bracket, as in "clip_surgery(depth=8)", or otherwise after the last letter that fits.
    """
    if text_font.getlength(text) <= width:
        return text
    ends = [match.start() for match in re.finditer(" ", text)]
    fitting = bisect_right(ends, width, key=lambda end: text_font.getlength(text[:end]))
    start = text[: ends[max(0, fitting - 1)]] if ends else text
    head = start.partition("(")[0]
    if text_font.getlength(start) > width and head and text_font.getlength(head) <= width:
        return head
    return _cut(start, width, text_font) or text[0]


def _cut(text: str, width: float, text_font: Font) -> str:
    """The longest start of a text that fits into a line, of whole characters as readers see them.

    Lengths are computed for few of the starts, because texts may have thousands of letters.
    """
    count = bisect_right(
        range(1, len(text) + 1), width, key=lambda end: text_font.getlength(text[:end])
    )
    start = shortened(text[: count + 1]) if count < len(text) else text
    while start and text_font.getlength(start) > width:
        start = shortened(start)
    return start
