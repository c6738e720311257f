"""Draw numbers of several methods as bars: one panel per number, one row per method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from clip_surgery.errors import InputError
from clip_surgery.figures.fonts import FAINT_INK, INK, font
from clip_surgery.figures.layout import stack, with_margins
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.page_format import MARGIN, SCREEN, PageFormat
from clip_surgery.figures.sheet import Colour, Sheet

SIZE, TITLE = 14, 16
"""Font sizes in pixels."""
ROW = 26
PANEL, NARROWEST = 380, 280
"""Width of a panel on a screen and of the narrowest panel on a page, in pixels."""
SCREEN_COLUMNS = 3
COLOURS: tuple[Colour, Colour] = ((70, 110, 190), (170, 178, 190))
"""Colours (RGB) of the numbers, and of those before if two are compared."""


@dataclass(frozen=True)
class Panel:
    """The values of one number.

    Attributes:
        title: name of the number.
        rows: for each method its name, its values (one, or those before and after), None for a
            missing one, and the text that is written beside its bars.
    """

    title: str
    rows: Sequence[tuple[str, tuple[float | None, ...], str]]

    @property
    def limits(self) -> tuple[float, float]:
        """The values at the left and right end of the axis; it always contains 0."""
        values = [value for _, row, _ in self.rows for value in row if value is not None]
        low, high = min(0.0, *values, 0.0), max(0.0, *values, 0.0)
        return low, high if high > low else low + 1.0


def bars_figure(
    panels: Sequence[Panel],
    *,
    heading: str = "",
    notes: Sequence[str] = (),
    page: PageFormat = SCREEN,
) -> Sheet:
    """Draw one panel of bars per number, on a grid.

    Bars begin at 0, and each panel has its own scale. If a row has two values, the upper bar is the
    value before.

    Args:
        panels: the numbers.
        heading: a line above the figure.
        notes: lines below the figure.
        page: the format of the page.

    Raises:
        InputError: if there is no panel.
    """
    if not panels:
        raise InputError("Expected at least one number to draw, but got none.")
    columns = min(SCREEN_COLUMNS, len(panels))
    width: float = PANEL
    if page.content_width is not None:
        fitting = math.floor((page.content_width + MARGIN) / (NARROWEST + MARGIN))
        columns = min(columns, max(1, fitting))
        width = (page.content_width - (columns - 1) * MARGIN) / columns
    drawn = [_panel(panel, width) for panel in panels]
    rows = []
    for start in range(0, len(drawn), columns):
        part = drawn[start : start + columns]
        row = Sheet(columns * width + (columns - 1) * MARGIN, max(panel.height for panel in part))
        for index, panel in enumerate(part):
            row.paste(panel, (index * (width + MARGIN), 0))
        rows.append(row)
    return with_margins(stack(rows, gap=MARGIN), heading=heading, notes=notes, page=page)


def _panel(panel: Panel, width: float) -> Sheet:
    """One number: a title, and for each method its name, its bars and its value."""
    text_font, title_font = font(SIZE), font(TITLE, bold=True)
    numbers = max((text_font.getlength(text) for _, _, text in panel.rows), default=0)
    longest = max((text_font.getlength(name) for name, _, _ in panel.rows), default=0)
    numbers = min(numbers, 0.45 * width)
    names = min(longest, 0.4 * width)
    length = max(20.0, width - names - numbers - 20)
    low, high = panel.limits
    unit = length / (high - low)
    zero = names + 10 - low * unit
    sheet = Sheet(width, ROW * (len(panel.rows) + 1))
    [title] = break_into_lines(panel.title, title_font, width=width - names - 10, lines=1) or [""]
    sheet.text((names + 10, ROW / 2), title, INK, title_font, anchor="lm")
    for index, (name, values, text) in enumerate(panel.rows):
        middle = ROW * (index + 1.5)
        [shown] = break_into_lines(name, text_font, width=names + 1, lines=1) or [""]
        sheet.text((names, middle), shown, INK, text_font, anchor="rm")
        height = 16 / len(values)
        for part, value in enumerate(values):
            colour = COLOURS[0] if part == len(values) - 1 else COLOURS[1]
            if value is not None and abs(value) * unit >= 0.5:
                corner = (zero + min(0.0, value) * unit, middle - 8 + part * height)
                sheet.box(corner, (abs(value) * unit, height - 1), colour)
        [number] = break_into_lines(text, text_font, width=numbers + 1, lines=1) or [""]
        sheet.text((width, middle), number, FAINT_INK, text_font, anchor="rm")
    return sheet
