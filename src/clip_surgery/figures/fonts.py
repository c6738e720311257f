"""Choose a font that contains the characters of a text, and break text into lines."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

INK = (28, 30, 34)
FAINT_INK = (112, 118, 128)
PAPER = (255, 255, 255)
"""Colours (RGB) of text, of less important text, and of the background."""


def font(size: int, *texts: str, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return a font that contains the characters of the given texts.

    The font is DejaVu Sans, which is part of matplotlib and supports most alphabets. For characters
    that it does not contain (Chinese, Japanese, Korean), a font of this machine is used if there
    is one.

    Args:
        size: size in pixels.
        texts: the texts to be drawn.
        bold: whether the font is bold.
    """
    # Characters that are not printed, such as line breaks and joiners, need no glyph.
    code_points = {
        ord(character) for text in texts for character in text if character.isprintable()
    }
    return _open(_file_with(frozenset(code_points), bold), size)


@lru_cache(maxsize=32)
def _open(path: str, size: int) -> ImageFont.FreeTypeFont:
    # Basic layout does not depend on whether a shaping library is installed on this machine.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _bundled(bold: bool) -> str:
    """The path of DejaVu Sans in matplotlib."""
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(get_data_path()) / "fonts" / "ttf" / name)


@lru_cache(maxsize=256)
def _file_with(code_points: frozenset[int], bold: bool) -> str:
    """The font file that contains most of the code points; DejaVu Sans unless another has more."""
    best = _bundled(bold)
    most = _count(code_points, best)
    if most == len(code_points):
        return best
    for path in _installed(bold):
        count = _count(code_points, path)
        if count > most:
            best, most = path, count
        if most == len(code_points):
            break
    return best


@lru_cache(maxsize=2)
def _installed(bold: bool) -> list[str]:
    """The font files of this machine; upright ones of this weight and without serifs come first."""
    from matplotlib.font_manager import findSystemFonts  # its fontManager may be out of date

    def order(path: str) -> tuple[bool, bool, bool, str]:
        name = Path(path).name.lower()
        slanted = "italic" in name or "oblique" in name
        return (slanted, ("bold" in name) != bold, "serif" in name or "mono" in name, path)

    return sorted(findSystemFonts(), key=order)


def _count(code_points: frozenset[int], path: str) -> int:
    """How many of the code points a font file contains."""
    return int(np.isin(list(code_points), _code_points_of(path)).sum())


@cache  # all fonts of a machine take a few MB, and reading them takes seconds
def _code_points_of(path: str) -> NDArray[np.int64]:
    """The code points that a font file contains; none if it cannot be used at this size."""
    from matplotlib.ft2font import FT2Font

    try:
        _open(path, 12)  # fails for bitmap fonts such as coloured emoji
        return np.array(list(FT2Font(path).get_charmap()), np.int64)
    except (OSError, RuntimeError):
        return np.zeros(0, np.int64)


def break_into_lines(
    text: str, text_font: ImageFont.FreeTypeFont, *, width: float, lines: int
) -> list[str]:
    """Break a text into lines; a text that does not fit is cut and ends in "…".

    Args:
        text: the text.
        text_font: the font.
        width: width of a line in pixels.
        lines: maximum number of lines.

    Example:
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
        while remaining and text_font.getlength(remaining + "…") > width:
            remaining = remaining[:-1]
        remaining = remaining.rstrip() + "…"
    return [*fitted, remaining] if remaining else fitted


def _longest_start(text: str, text_font: ImageFont.FreeTypeFont, width: float) -> str:
    """The longest start of a text that fits into a line.

    It consists of whole words if possible. A single word that is too long is broken before a
    bracket, as in "clip_surgery(depth=8)", or otherwise after the last letter that fits.
    """
    if text_font.getlength(text) <= width:
        return text
    words = text.split(" ")
    count = len(words)
    while count > 1 and text_font.getlength(" ".join(words[:count])) > width:
        count -= 1
    start = " ".join(words[:count])
    head = start.partition("(")[0]
    if text_font.getlength(start) > width and head and text_font.getlength(head) <= width:
        return head
    while len(start) > 1 and text_font.getlength(start) > width:
        start = start[:-1]
    return start
