"""Options of evaluations: the data set, the journal of partial results, and the workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

DatasetRoot = Annotated[Path | None, typer.Option(help="Folder of the data set.", metavar="FOLDER")]
DatasetSplit = Annotated[
    str | None, typer.Option(help="Part of the data set.", show_default="the one that papers use")
]

SCENES = 500
"""Default number of generated scenes."""


@dataclass(frozen=True, kw_only=True)
class JournalOptions:
    """The journal of partial results."""

    journal: Annotated[
        Path | None,
        typer.Option(
            help="Folder for partial results, with which an interrupted run continues.",
            metavar="FOLDER", show_default="in the cache, until the run is complete",
        ),
    ] = None  # fmt: skip
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--fresh",
            help="Continue the same run where it was interrupted, or start again.",
        ),
    ] = True


@dataclass(frozen=True, kw_only=True)
class RunOptions(JournalOptions):
    """Number of workers, and the journal of partial results."""

    workers: Annotated[
        int, typer.Option(min=0, help="Number of worker processes; 0 to work in this process.")
    ] = 0
