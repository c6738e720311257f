"""Tables of results on standard output. The files contain all results; tables are a summary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from clip_surgery.apps.cli.shared import console
from clip_surgery.inputs.names import printable

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.output_files import OutputFolder
    from clip_surgery.records.explanations import Record

SHOWN_ROWS = 40


class Number(NamedTuple):
    """A column of numbers, which is aligned on the right."""

    title: str


Column = str | Number
"""The title of a column of text, or a column of numbers."""

PEAK_COLUMNS: tuple[Column, ...] = ("text", Number("score"), Number("peak at x, y"))


def peak_rows(record: Record) -> list[tuple[str, ...]]:
    """Return for each text of one image its score and the position of its map's maximum."""
    rows: list[tuple[str, ...]] = []
    for text in record["texts"]:
        peak = text["peak"]
        position = f"{peak['x']:.0f}, {peak['y']:.0f}" if peak else "flat"
        rows.append((text["text"], f"{text['score']:.3f}", position))
    return rows


def show_rows(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    """Print the first rows as a table, and how many more there are."""
    if not rows:
        return
    show_table(columns, rows[:SHOWN_ROWS])
    if len(rows) > SHOWN_ROWS:
        console.result(f"and {len(rows) - SHOWN_ROWS} more (--format json has them all)")


def show_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[str]],
    *,
    title: str = "",
    wrap_first: bool = True,
) -> None:
    """Print all rows as a table.

    Args:
        columns: titles of the columns.
        rows: the cells of each row, as many as columns.
        title: a line above the table.
        wrap_first: whether the first column may be broken into lines on a narrow terminal.
    """
    from rich.table import Table
    from rich.text import Text

    screen = console.results()
    if title:
        screen.print(Text(printable(title), style="italic"), soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        is_number = isinstance(column, Number)
        table.add_column(
            Text(printable(column.title if isinstance(column, Number) else column)),
            justify="right" if is_number else "left",
            overflow="fold",
            no_wrap=index == 0 and not wrap_first,
        )
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    screen.print(table)


def show_files(outputs: OutputFolder, *, skipped: int) -> None:
    """Print where the files are, and how many images were skipped."""
    if len(outputs.written) == 1:
        console.result(f"wrote {outputs.written[0]}")
    else:
        console.result(f"wrote {len(outputs.written)} files to {outputs.folder}/")
    if outputs.replaced:
        console.notice(
            f"replaced {len(outputs.replaced)} files of an earlier run of this command; "
            "choose another --out to keep both."
        )
    if outputs.renamed:
        console.notice(
            f"{outputs.renamed[0].name} has a number because a file of that name was there "
            "already and is not a result for the same image; --overwrite replaces such files."
        )
    if skipped:
        console.result(f"skipped {skipped} (see above)")
