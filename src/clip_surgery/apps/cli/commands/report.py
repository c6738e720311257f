"""`clip-surgery report`: reports of evaluations shown, and two of them compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.evaluation.reporting.differences import Differences
    from clip_surgery.evaluation.reporting.report import Report


def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="A.json [B.json]", help="What evaluate --out wrote.")
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Show a report, or what differs from one to another.

    clip-surgery report before.json after.json

    Numbers stand as before -> after (difference), one row a method; below them every setting,
    version and machine that differs, since numbers compare only where these are equal.
    """
    if len(files) > 2:
        raise InputError(f"Expected one report or two, but got {len(files)} files.")
    from clip_surgery.evaluation.reporting.report import load_reports

    loaded = [load_reports(path) for path in files]
    if len(loaded) == 1:
        _show_one(loaded[0], markdown=markdown)
        return
    from clip_surgery.evaluation.reporting.differences import differences, differences_markdown

    found = differences(*loaded)
    if markdown:
        typer.echo(differences_markdown(found))
    else:
        _show_two(found, names=[str(path) for path in files])


def _show_one(reports: list[Report], *, markdown: bool) -> None:
    """The table, and the settings that all its rows share."""
    from clip_surgery.apps.cli.shared.report_tables import show_reports
    from clip_surgery.evaluation.reporting.differences import report_conditions

    show_reports(reports, markdown=markdown)
    first, *others = [report_conditions(one) for one in reports]
    shared = [
        f"{name}: {value}"
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    ]
    typer.echo("\nMeasured with:\n" if markdown else "measured with:")
    for line in shared:
        console.result(f"- {line}" if markdown else f"  {line}")


def _show_two(found: Differences, *, names: list[str]) -> None:
    from clip_surgery.apps.cli.shared.report_tables import show_number_table
    from clip_surgery.evaluation.reporting.differences import settings_lines

    show_number_table(
        ("method", *found.columns),
        [(row, *(found.cell(row, name) for name in found.columns)) for row in found.rows],
        title=" -> ".join(names),
    )
    lines = settings_lines(found, found.settings())
    console.result("what else differs:" if lines else "nothing else differs")
    for line in lines:
        console.result(f"  {line}")
