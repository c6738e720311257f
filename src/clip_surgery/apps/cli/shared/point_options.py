"""Pointing: how clicks are chosen, for the commands that choose some."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.tasks.point_rules import PointRule


class ModeName(StrEnum):
    """Which rule chooses clicks."""

    PEAKS = "peaks"
    REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class PointOptions:
    """How clicks are chosen."""

    mode: Annotated[
        ModeName,
        typer.Option(help="A few peaks and low places apart, or CLIP Surgery's published rule."),
    ] = ModeName.PEAKS
    positives: Annotated[
        int | None,
        typer.Option(min=1, help="Clicks on an object, of --mode peaks; 3 if not given."),
    ] = None
    negatives: Annotated[
        int | None, typer.Option(min=0, help="Clicks off it, of --mode peaks; 3 if not given.")
    ] = None

    def build(self) -> PointRule:
        """The rule with its settings.

        Raises:
            InputError: when counts are given for the published rule, which has none.
        """
        from clip_surgery.tasks.point_rules import PeakPoints, ReferencePoints

        counts = {"positives": self.positives, "negatives": self.negatives}
        given = {name: count for name, count in counts.items() if count is not None}
        if self.mode is ModeName.PEAKS:
            return PeakPoints(**given)
        if given:
            raise InputError(f"--{next(iter(given))} is no setting of --mode reference.")
        return ReferencePoints()
