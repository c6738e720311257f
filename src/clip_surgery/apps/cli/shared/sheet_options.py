"""Options for the size of a figure and for its heading."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared.drawing_options import DRAWING
from clip_surgery.errors import InputError

NARROWEST_MM, WIDEST_MM = 20.0, 1000.0
_DPI = 300
_MM_PER_UNIT = {"mm": 1.0, "cm": 10.0, "in": 25.4, "px": 25.4 / _DPI}


@dataclass(frozen=True, kw_only=True)
class SheetOptions:
    """Size and heading of the figure with all maps."""

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
            "--plain", help="Leave out heading, scores and presence.", rich_help_panel=DRAWING
        ),
    ] = False

    @property
    def width_mm(self) -> float | None:
        """The width in millimetres; None if it was not given.

        Raises:
            InputError: if it is no length, or below 20 mm or above 1000 mm.
        """
        return None if self.width is None else read_width_mm(self.width)


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
