"""The format of a figure: as wide as its images, or of a given width for print."""

from __future__ import annotations

import math
from dataclasses import dataclass

from clip_surgery.errors import InputError

MARGIN = 24
GAP = 14
"""Margin of a figure on a screen, and distance between its images, in pixels."""
PRINT_MARGIN = 4
MAX_COLUMNS = 5
NARROWEST_COLUMN = 167
"""Width in pixels of the narrowest column of images on a page with a width: 25 mm in print."""
UNITS_PER_MM = 6.7
"""Pixels of a figure in a millimetre of print: small letters (13 px) are then 5.5 points high."""


@dataclass(frozen=True)
class PageFormat:
    """Width and margin of a figure.

    Attributes:
        width: width of the figure in pixels, which its images fill; None if it is as wide as
            images of their typical size are.
        margin: margin in pixels.
    """

    width: float | None = None
    margin: int = MARGIN

    @classmethod
    def of_print(cls, width_mm: float) -> PageFormat:
        """Return the format of a figure for print.

        Raises:
            InputError: if the width is below 10 mm.
        """
        if not width_mm >= 10:
            raise InputError(f"Expected a width of at least 10 mm, but got {width_mm:g} mm.")
        return cls(width_mm * UNITS_PER_MM, PRINT_MARGIN)

    @property
    def content_width(self) -> float | None:
        """The width between the margins in pixels, or None."""
        return None if self.width is None else self.width - 2 * self.margin

    @property
    def row_gap(self) -> int:
        """Distance between rows of images in pixels."""
        return MARGIN if self.width is None else GAP

    def columns(self, count: int) -> int:
        """Return the number of columns of a grid of `count` images, in rows of about one length."""
        most = MAX_COLUMNS
        if self.content_width is not None:
            fitting = math.floor((self.content_width + GAP) / (NARROWEST_COLUMN + GAP))
            most = min(most, max(1, fitting))
        return math.ceil(count / math.ceil(count / most))

    def column_width(self, columns: int) -> float | None:
        """Return the width in pixels of each of `columns` columns; None without a width."""
        if self.content_width is None:
            return None
        return (self.content_width - (columns - 1) * GAP) / columns

    def width_beside(self, width: float) -> float | None:
        """Return the width left beside something; all of it if that is too narrow for an image.

        Args:
            width: width in pixels of what stands at the right.

        Returns:
            The width in pixels; None without a width of the page.
        """
        if self.content_width is None:
            return None
        left = self.content_width - width - MARGIN
        return left if left >= NARROWEST_COLUMN else self.content_width


SCREEN = PageFormat()
"""The format for screens: images have their typical size."""
