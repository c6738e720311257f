"""Lettering: a font that has the letters of a text, and words fitted to a width."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

INK = (28, 30, 34)
FAINT_INK = (112, 118, 128)
PAPER = (255, 255, 255)


def font(size: int, *texts: str, bold: bool = False) -> ImageFont.FreeTypeFont:
    """A font of `size` pixels in which these texts can be read.

    DejaVu Sans, which travels with matplotlib and knows most alphabets; for texts with letters
    beyond it (Chinese, Japanese, Korean) a font of this machine that has them, if there is one.
    """
    # what is not printed (a break, a joiner) needs no letter
    letters = {ord(letter) for text in texts for letter in text if letter.isprintable()}
    return _open(_file_with(frozenset(letters), bold), size)


@lru_cache(maxsize=32)
def _open(path: str, size: int) -> ImageFont.FreeTypeFont:
    # Basic layout does not depend on whether a shaping library is installed on this machine.
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


def _travelling(bold: bool) -> str:
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(get_data_path()) / "fonts" / "ttf" / name)


@lru_cache(maxsize=256)
def _file_with(letters: frozenset[int], bold: bool) -> str:
    """The font file that has most of the letters, the travelling one unless another has more."""
    best = _travelling(bold)
    most = _count(letters, best)
    if most == len(letters):
        return best
    for path in _installed(bold):
        count = _count(letters, path)
        if count > most:
            best, most = path, count
        if most == len(letters):
            break
    return best


@lru_cache(maxsize=2)
def _installed(bold: bool) -> list[str]:
    """The font files of this machine: upright ones, of this weight, without serifs first."""
    from matplotlib.font_manager import findSystemFonts  # its fontManager may be of last month

    def order(path: str) -> tuple[bool, bool, bool, str]:
        name = Path(path).name.lower()
        slanted = "italic" in name or "oblique" in name
        return (slanted, ("bold" in name) != bold, "serif" in name or "mono" in name, path)

    return sorted(findSystemFonts(), key=order)


def _count(letters: frozenset[int], path: str) -> int:
    return int(np.isin(list(letters), _letters_of(path)).sum())


@cache  # a few bytes a letter: all fonts of a machine are some MB, and reading them takes seconds
def _letters_of(path: str) -> NDArray[np.int64]:
    """The code points a font file has; none when it cannot be drawn with at any size."""
    from matplotlib.ft2font import FT2Font

    try:
        _open(path, 12)  # coloured emoji are images of one size
        return np.array(list(FT2Font(path).get_charmap()), np.int64)
    except (OSError, RuntimeError):
        return np.zeros(0, np.int64)


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
