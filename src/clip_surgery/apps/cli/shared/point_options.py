"""Options of the commands that choose points."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.tasks.point_rules import PointRule


class ModeName(StrEnum):
    """Rules that choose points."""

    PEAKS = "peaks"
    REFERENCE = "reference"


@dataclass(frozen=True, kw_only=True)
class PointOptions:
    """The rule that chooses points, and its settings."""

    mode: Annotated[
        ModeName,
        typer.Option(
            help="Separate maxima and minima of a map, or the published rule of CLIP Surgery."
        ),
    ] = ModeName.PEAKS
    positives: Annotated[
        int | None,
        typer.Option(min=1, help="Points on an object, for --mode peaks. Default: 3."),
    ] = None
    negatives: Annotated[
        int | None, typer.Option(min=0, help="Points beside it, for --mode peaks. Default: 3.")
    ] = None

    def build(self) -> PointRule:
        """Return the rule with its settings.

        Raises:
            InputError: if counts are given for the published rule, which has no such settings.
        """
        from clip_surgery.tasks.point_rules import PeakPoints, ReferencePoints

        counts = {"positives": self.positives, "negatives": self.negatives}
        chosen = {name: count for name, count in counts.items() if count is not None}
        if self.mode is ModeName.PEAKS:
            return PeakPoints(**chosen)
        if chosen:
            raise InputError(f"--{next(iter(chosen))} is no setting of --mode reference.")
        return ReferencePoints()
