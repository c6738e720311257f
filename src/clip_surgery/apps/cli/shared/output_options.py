"""Options for where results are written, and in which formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

OutFolder = Annotated[
    Path, typer.Option("--out", "-o", help="Folder for the results.", metavar="FOLDER")
]
STANDARD_OUTPUT = "-"
"""The value of --out that means JSON lines on standard output."""
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing files, even if they hold other results."),
]


def formats_option(kinds: str) -> Any:
    """Return the option --format, whose help lists the formats and the default."""
    return typer.Option("--format", "-f", help=f"{kinds}; separate several by commas.")


FigureFormats = Annotated[
    list[str] | None, formats_option("png, pdf, svg, json; default: png,json")
]
MaskFormats = Annotated[
    list[str] | None,
    formats_option(
        "png, pdf, svg (to look at), mask (palette PNG), json (COCO RLE); default: png,mask,json"
    ),
]


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where results are written."""

    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", metavar="FOLDER",
            help="Folder for the results, or - for JSON lines on standard output. A result "
            "replaces an earlier one for the same image only; other images of the same name get "
            "the endings -2, -3 and so on.",
        ),
    ] = Path("out")  # fmt: skip
    overwrite: Overwrite = False
