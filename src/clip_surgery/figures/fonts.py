"""Fonts for texts of any language: which font has which character, and how long a text is.

DejaVu Sans, which is part of matplotlib, draws what it can. A text with other characters (Chinese,
Thai, emoji) is divided into runs, each with a font of this machine that has its characters.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from PIL import ImageFont, features

from clip_surgery.figures.scripts import is_right_to_left, needs_shaping, split_emoji

INK = (28, 30, 34)
FAINT_INK = (112, 118, 128)
PAPER = (255, 255, 255)
"""Colours (RGB) of text, of less important text, and of the background."""
EMOJI_SIZE = 109
"""The only size in pixels of the bitmaps of Noto Color Emoji, which are scaled to other sizes."""


@dataclass(frozen=True)
class Run:
    """A part of a text that is drawn with one font.

    Attributes:
        text: the part.
        path: the font file.
        is_colour: whether the font consists of coloured bitmaps (emoji).
    """

    text: str
    path: str
    is_colour: bool = False

    def face(self, size: float) -> ImageFont.FreeTypeFont:
        """Return the font, at the size of its bitmaps if it has only that size."""
        # Basic layout is the same on each machine; others depend on libraqm, which Pillow includes.
        raqm = (self.is_colour or needs_shaping(self.text)) and can_shape()
        return open_font(self.path, EMOJI_SIZE if self.is_colour else size, raqm)

    def length(self, size: float) -> float:
        """Return the length of the part in pixels at a font size in pixels."""
        length = self.face(size).getlength(self.text)
        return length * size / EMOJI_SIZE if self.is_colour else length


@dataclass(frozen=True)
class Font:
    """A font size and weight, for texts of any language.

    Attributes:
        size: size in pixels.
        bold: whether the font is bold. Fonts of other alphabets may have one weight only.
    """

    size: float
    bold: bool = False

    def getlength(self, text: str) -> float:
        """Return the length of a text in pixels."""
        return sum(run.length(self.size) for run in self.runs(text))

    def runs(self, text: str) -> tuple[Run, ...]:
        """Return the parts of a text in the order in which they are drawn, from left to right."""
        return _runs(text, self.bold)

    def metrics(self) -> tuple[float, float]:
        """Return ascent and descent in pixels, the same for all texts."""
        return open_font(_bundled(self.bold), self.size, False).getmetrics()


def font(size: float, *, bold: bool = False) -> Font:
    """Return a font for texts of any language.

    Args:
        size: size in pixels.
        bold: whether the font is bold.
    """
    return Font(size, bold)


def missing_characters(texts: Iterable[str]) -> str:
    """Return the characters for which this machine has no font, each once, in order."""
    missing: dict[str, None] = {}
    for text in texts:
        for run in _runs(text, False):
            if not run.is_colour:
                known = _code_points_of(run.path)
                missing.update((c, None) for c in run.text if _is_drawn(c) and ord(c) not in known)
    return "".join(missing)


def can_shape() -> bool:
    """Return whether letters that join or change their order (Arabic, Hindi) can be drawn."""
    return bool(features.check("raqm"))


@lru_cache(maxsize=64)
def open_font(path: str, size: float, raqm: bool) -> ImageFont.FreeTypeFont:
    """Return an opened font file; `raqm` is the layout of joined and right-to-left letters."""
    engine = ImageFont.Layout.RAQM if raqm else ImageFont.Layout.BASIC
    return ImageFont.truetype(path, size, layout_engine=engine)


@lru_cache(maxsize=1024)
def _runs(text: str, bold: bool) -> tuple[Run, ...]:
    bundled = _bundled(bold)
    if _code_points(text) <= _code_points_of(bundled):
        return (Run(text, bundled),)
    parts: list[Run] = []
    pieces = split_emoji(text)
    letters = "".join(piece for piece, is_emoji in pieces if not is_emoji)
    main = _file_with(_code_points(letters), bold)
    for piece, is_emoji in pieces:
        colour_font = _colour_font() if is_emoji else None
        if colour_font is not None:
            parts.append(Run(piece, colour_font, is_colour=True))
        else:
            parts.extend(_runs_of_letters(piece, main, bold))
    # The runs of a right-to-left text follow each other from right to left.
    return tuple(reversed(parts)) if is_right_to_left(text) else tuple(parts)


def _runs_of_letters(text: str, main: str, bold: bool) -> list[Run]:
    """The parts of a text without coloured emoji; most letters are drawn with the main font."""
    main_code_points = _code_points_of(main)

    def file_of(character: str) -> str:
        code_point = ord(character)
        if not _is_drawn(character) or code_point in main_code_points:
            return main
        return _file_with(frozenset({code_point}), bold)

    return [Run("".join(part), path) for path, part in groupby(text, file_of)]


def _is_drawn(character: str) -> bool:
    """Whether a character needs a glyph; line breaks, joiners and variation selectors need none."""
    is_invisible = unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    return not is_invisible and not 0xFE00 <= ord(character) <= 0xFE0F


def _code_points(text: str) -> frozenset[int]:
    return frozenset(ord(character) for character in text if _is_drawn(character))


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


@lru_cache(maxsize=1)
def _colour_font() -> str | None:
    """A font of this machine with coloured emoji that Pillow can draw, or None."""
    for path in _installed(False):
        if "emoji" in Path(path).name.lower():
            try:
                face = open_font(path, EMOJI_SIZE, False)
                if face.getmask("\U0001f415", mode="RGBA").getbbox():
                    return path
            except (OSError, ValueError):
                continue
    return None


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
    return len(code_points & _code_points_of(path))


@cache  # reading all fonts of a machine takes seconds
def _code_points_of(path: str) -> frozenset[int]:
    """The code points that a font file contains; none if it cannot be used at this size."""
    from matplotlib.ft2font import FT2Font

    try:
        open_font(path, 12, False)  # fails for bitmap fonts such as coloured emoji
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()
