"""Write sheets for print: PNG of 300 dpi by Pillow, PDF and SVG by matplotlib.

The width of a figure for print is given in millimetres, and its sheet is laid out for that width,
so that letters have the size of captions whatever the width is. In PDF and SVG they stay letters or
outlines, and images are embedded at 300 dpi.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clip_surgery.figures.fonts import Run
from clip_surgery.figures.page_format import UNITS_PER_MM
from clip_surgery.figures.scripts import needs_shaping
from clip_surgery.figures.sheet import Box, Colour, PlacedPicture, PlacedText, Sheet, text_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 300
WIDTH_MM = 180.0
"""Width of a figure over both columns of a journal."""
MM_PER_INCH, PT_PER_INCH = 25.4, 72.0
TEXT_DENSITY = 2 * DPI / MM_PER_INCH / UNITS_PER_MM
"""Pixels per unit, at 600 dpi, of texts that matplotlib cannot draw as letters."""


def save_print(sheet: Sheet, path: Path) -> None:
    """Write a sheet as PNG, PDF or SVG, by the ending of the path.

    The same sheet gives the same bytes.

    Raises:
        OSError: if the file cannot be written.
    """
    kind = path.suffix.removeprefix(".")
    if kind == "png":
        sheet.image(DPI / MM_PER_INCH / UNITS_PER_MM).save(path, dpi=(DPI, DPI))
        return
    from matplotlib import rc_context

    metadata: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Producer": "clip-surgery", "Creator": "clip-surgery"},
        "svg": {"Date": None, "Creator": "clip-surgery"},
    }
    settings: Any = {"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "clip-surgery"}
    with rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*missing from font")
        figure(sheet).savefig(path, format=kind, dpi=DPI, metadata=metadata[kind])


def figure(sheet: Sheet) -> Figure:
    """Return a figure of matplotlib that shows a sheet in its size for print."""
    from matplotlib.figure import Figure

    inches = 1 / UNITS_PER_MM / MM_PER_INCH
    page = _Page(sheet, Figure(figsize=(sheet.width * inches, sheet.height * inches)))
    for page.order, element in enumerate(sheet.elements):
        if isinstance(element, PlacedPicture):
            page.image(element)
        elif isinstance(element, Box):
            page.box(element)
        else:
            page.text(element)
    return page.figure


class _Page:
    """A figure of matplotlib on which things are placed by the coordinates of a sheet."""

    def __init__(self, sheet: Sheet, figure: Figure) -> None:
        self.sheet, self.figure = sheet, figure
        self.order = 0  # later elements are drawn over earlier ones
        figure.patch.set_facecolor("white")

    def image(self, element: PlacedPicture) -> None:
        """Embed an image at 300 dpi."""
        height, width = element.picture.size
        pixels = element.pixels(DPI / MM_PER_INCH / UNITS_PER_MM)
        self._pixels(np.asarray(pixels), element.x, element.y, width, height)

    def box(self, box: Box) -> None:
        """Draw a rectangle."""
        from matplotlib.patches import FancyBboxPatch, Rectangle
        from matplotlib.transforms import Affine2D

        # Patches are drawn in units of the sheet, so that round corners are round.
        to_figure = Affine2D().scale(1 / self.sheet.width, -1 / self.sheet.height).translate(0, 1)
        style: dict[str, Any] = {
            "facecolor": _rgb(box.fill),
            "edgecolor": "none" if box.outline is None else _rgb(box.outline),
            "linewidth": 0.4,
            "zorder": self.order,
            "transform": to_figure + self.figure.transFigure,
        }
        corner, size = (box.x, box.y), (box.width, box.height)
        if box.radius:
            shape = f"round,pad=0,rounding_size={box.radius}"
            self.figure.add_artist(FancyBboxPatch(corner, *size, boxstyle=shape, **style))
        else:
            self.figure.add_artist(Rectangle(corner, *size, **style))

    def text(self, line: PlacedText) -> None:
        """Draw a line of text as letters, and what cannot be drawn so as an image."""
        runs = line.font.runs(line.text)
        if line.is_upright:
            if all(map(_is_letters, runs)) and len(runs) == 1:
                self._letters(runs[0], line, line.x, line.y, upright=True)
            else:
                self._upright_image(line)
            return
        left = line.left
        for run in runs:
            if _is_letters(run):
                self._letters(run, line, left, line.baseline)
            else:
                self._text_image(run, line, left)
            left += run.length(line.font.size)

    def _letters(
        self, run: Run, line: PlacedText, x: float, y: float, *, upright: bool = False
    ) -> None:
        from matplotlib.font_manager import FontProperties

        points = line.font.size / UNITS_PER_MM / MM_PER_INCH * PT_PER_INCH
        # The edge at which a line is aligned stays exact, although matplotlib's letters are a
        # little narrower than those of Pillow.
        anchor = line.anchor[0] if len(line.font.runs(line.text)) == 1 else "l"
        align = {"l": "left", "m": "center", "r": "right"}[anchor]
        if not upright and anchor != "l":
            x = line.x
        self.figure.text(
            x / self.sheet.width, 1 - y / self.sheet.height, run.text,
            fontproperties=FontProperties(fname=run.path, size=points), color=_rgb(line.colour),
            ha=align, va="center" if upright else "baseline", rotation=90 if upright else 0,
            parse_math=False, zorder=self.order,
        )  # fmt: skip

    def _text_image(self, run: Run, line: PlacedText, left: float) -> None:
        ascent, descent = line.font.metrics()
        pixels = np.asarray(text_image(run.text, line.font, line.colour, TEXT_DENSITY))
        length = run.length(line.font.size)
        self._pixels(pixels, left, line.baseline - ascent, length, ascent + descent)

    def _upright_image(self, line: PlacedText) -> None:
        ascent, descent = line.font.metrics()
        pixels = np.rot90(np.asarray(text_image(line.text, line.font, line.colour, TEXT_DENSITY)))
        width, height = ascent + descent, line.font.getlength(line.text)
        self._pixels(pixels, line.x - width / 2, line.y - height / 2, width, height)

    def _pixels(self, pixels: Any, x: float, y: float, width: float, height: float) -> None:
        """Place an image with its upper left corner at (x, y) of the sheet."""
        sheet = self.sheet
        corner = (x / sheet.width, 1 - (y + height) / sheet.height)
        axes = self.figure.add_axes((*corner, width / sheet.width, height / sheet.height))
        axes.set_zorder(self.order)
        axes.imshow(pixels, interpolation="none", aspect="auto")
        axes.set_axis_off()


def _is_letters(run: Run) -> bool:
    """Whether matplotlib draws a run as letters; it joins letters since version 3.11."""
    from matplotlib import __version_info__

    return not run.is_colour and (__version_info__ >= (3, 11) or not needs_shaping(run.text))


def _rgb(colour: Colour) -> tuple[float, float, float]:
    red, green, blue = colour
    return red / 255, green / 255, blue / 255
