"""Options of `clip-surgery evaluate` that the evaluation run reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

SCENES = 500
"""Default number of generated scenes."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run goes on, and where it is kept."""

    workers: Annotated[
        int, typer.Option(min=0, help="Processes that share the work; 0 for this one alone.")
    ] = 0
    journal: Annotated[
        Path | None,
        typer.Option(
            help="Keep what is done here, to go on after a stop.",
            metavar="FOLDER", show_default="in the cache, till the run is complete",
        ),
    ] = None  # fmt: skip
    resume: Annotated[
        bool,
        typer.Option("--resume/--fresh", help="Go on where the same run stopped, or begin anew."),
    ] = True
