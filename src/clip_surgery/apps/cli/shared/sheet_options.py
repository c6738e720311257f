"""Options for the size of a figure and for its heading, and the files that a figure gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.drawing_options import DRAWING
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_formats import Format, Writer
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet

NARROWEST_MM, WIDEST_MM = 20.0, 1000.0
_DPI = 300
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": 25.4, "px": 25.4 / _DPI}


@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """Size and heading of a figure.

    A command checks the options with `check` before a model is loaded, and writes its figure in
    all formats with `files`.
    """

    width: Annotated[
        str | None,
        typer.Option(
            metavar="85mm|1200px",
            help="Width of the figure, with letters of the size of captions and 300 dpi, for "
            "print. Default: for the screen; 180mm for pdf and svg.",
            show_default=False,
            rich_help_panel=DRAWING,
        ),
    ] = None
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Leave out the heading and the numbers.", rich_help_panel=DRAWING
        ),
    ] = False

    @property
    def width_mm(self) -> float | None:
        """The width in millimetres; None if it was not given.

        Raises:
            InputError: if it is no length, or below 20 mm or above 1000 mm.
        """
        return None if self.width is None else read_width_mm(self.width)

    def check(self) -> None:
        """Check the width before a model is loaded.

        Raises:
            InputError: if it is no length, or below 20 mm or above 1000 mm.
        """
        _ = self.width_mm

    def heading(self, text: str) -> str:
        """Return a heading, or nothing for a plain figure."""
        return "" if self.plain else text

    def notes(self, lines: Sequence[str]) -> list[str]:
        """Return lines with numbers; for a plain figure they are empty."""
        return [""] * len(lines) if self.plain else list(lines)

    def files(self, draw: Callable[[PageFormat], Sheet]) -> dict[Format, Writer]:
        """Return the writers of a figure as PNG, PDF and SVG.

        Args:
            draw: returns the figure for a page.
        """
        from clip_surgery.apps.cli.shared.output_formats import FIGURE_FORMATS, Format

        def write(path: Path) -> None:
            from clip_surgery.figures.page_format import SCREEN, PageFormat
            from clip_surgery.figures.print_files import WIDTH_MM, save_print

            width_mm = self.width_mm
            if width_mm is None and path.suffix == Format.PNG.suffix:
                sheet = draw(SCREEN)
                sheet.save(path)
            else:
                sheet = draw(PageFormat.of_print(width_mm or WIDTH_MM))
                save_print(sheet, path)
            _notice_missing_characters(sheet)

        return dict.fromkeys(FIGURE_FORMATS, write)


def _notice_missing_characters(sheet: Sheet) -> None:
    """Say in one line which characters of a figure could not be drawn."""
    from clip_surgery.figures.fonts import can_shape
    from clip_surgery.figures.scripts import needs_shaping

    missing = sheet.missing_characters()
    if missing:
        listed = " ".join(missing[:20]) + (" ..." if len(missing) > 20 else "")
        console.notice_once(
            f"no font of this machine has the characters {listed}: figures show boxes instead. "
            "Install a font that has them, such as Noto Sans CJK or Noto Color Emoji."
        )
    if not can_shape() and any(needs_shaping(line.text) for line in sheet.texts()):
        console.notice_once(
            "this Pillow cannot join letters or write from right to left (it lacks libraqm), "
            "so some texts in figures are not drawn as they are read."
        )


def read_width_mm(text: str) -> float:
    """Return a length in millimetres; pixels count at 300 dpi, and so do numbers without a unit.

    Raises:
        InputError: if it is no length, or below 20 mm or above 1000 mm.

    Example:
        >>> read_width_mm("85mm"), read_width_mm("1200px"), read_width_mm("1200")
        (85.0, 101.6, 101.6)
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(mm|cm|in|px)?", text.strip().lower(), re.ASCII)
    if match is None:
        raise InputError(f"Expected a width such as 85mm or 1200px, but got {text!r}.")
    length = round(float(match[1]) * _MM_PER_UNIT[match[2] or "px"], 3)
    if not NARROWEST_MM <= length <= WIDEST_MM:
        raise InputError(
            f"Expected a width from {NARROWEST_MM:g} mm to {WIDEST_MM:g} mm (236 to 11811 px), "
            f"but got {text!r}."
        )
    return length
