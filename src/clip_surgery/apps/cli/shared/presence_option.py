"""The option --min-presence."""

from __future__ import annotations

from typing import Annotated

import typer

MinPresence = Annotated[
    float | None,
    typer.Option(
        min=0, max=1,
        help="Leave out texts that are less likely to be in the image than this, from 0 to 1.",
    ),
]  # fmt: skip
