"""Lettering: a font that is always there, and words fitted to a width."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

INK = (28, 30, 34)
FAINT_INK = (112, 118, 128)
PAPER = (255, 255, 255)


@lru_cache(maxsize=32)
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of `size` pixels: it travels with matplotlib and knows most alphabets."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(get_data_path()) / "fonts" / "ttf" / name
    # Basic layout does not depend on whether a shaping library is installed on this machine.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def fit(text: str, letters: ImageFont.FreeTypeFont, *, width: float, lines: int) -> list[str]:
    """Break a text into at most `lines` lines of `width` pixels; what does not fit ends in "…".

    Example:
        >>> fit("a very small dog", font(10), width=60, lines=2)
        ['a very', 'small dog']
    """
    rest = " ".join(text.split())
    fitted: list[str] = []
    while rest and len(fitted) < lines - 1:
        line = _longest_start(rest, letters, width)
        fitted.append(line)
        rest = rest[len(line) :].strip()
    if rest and letters.getlength(rest) > width:
        while rest and letters.getlength(rest + "…") > width:
            rest = rest[:-1]
        rest = rest.rstrip() + "…"
    return [*fitted, rest] if rest else fitted


def _longest_start(text: str, letters: ImageFont.FreeTypeFont, width: float) -> str:
    """As many whole words as fit, or the part before a bracket or the letters of one too long.

    Methods are written with their settings in brackets: names should not break within a word.
    """
    if letters.getlength(text) <= width:
        return text
    words = text.split(" ")
    count = len(words)
    while count > 1 and letters.getlength(" ".join(words[:count])) > width:
        count -= 1
    start = " ".join(words[:count])
    head = start.partition("(")[0]
    if letters.getlength(start) > width and head and letters.getlength(head) <= width:
        return head
    while len(start) > 1 and letters.getlength(start) > width:
        start = start[:-1]
    return start
