"""Tables: what was found, for the eye; the files have all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from clip_surgery.apps.cli.shared import console
from clip_surgery.inputs.names import printable

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_files import Outputs

SHOWN_ROWS = 40


class Number(NamedTuple):
    """A column of numbers."""

    title: str


Column = str | Number
"""A column's title, or a column of numbers."""


def show_rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Show the first rows as a table, and how many more there are."""
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        if isinstance(column, Number):
            table.add_column(column.title, justify="right")
        else:
            table.add_column(column, overflow="fold")
    for row in rows[:SHOWN_ROWS]:
        table.add_row(*(escape(printable(cell)) for cell in row))
    console.results().print(table)
    if len(rows) > SHOWN_ROWS:
        console.result(f"and {len(rows) - SHOWN_ROWS} more (--format json has them all)")


def show_files(outputs: Outputs, *, skipped: int) -> None:
    """Say where the files are, and how many images have none."""
    if len(outputs.written) == 1:
        console.result(f"wrote {outputs.written[0]}")
    else:
        console.result(f"wrote {len(outputs.written)} files to {outputs.folder}/")
    if outputs.replaced:
        console.notice(
            f"replaced {len(outputs.replaced)} files of an earlier run of this command; "
            "choose another --out to keep both."
        )
    if skipped:
        console.result(f"skipped {skipped} (see above)")
