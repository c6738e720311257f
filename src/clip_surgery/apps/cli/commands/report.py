"""`clip-surgery report`: show the reports of an evaluation, or compare two evaluations."""

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
        list[Path],
        typer.Argument(metavar="A.json [B.json]", help="Files that evaluate --out wrote."),
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
) -> None:
    """Show the reports of one file, or the differences between two files.

    clip-surgery report before.json after.json

    Numbers are shown as before -> after (difference), one row per method. Below the table follows
    every setting, version and machine that differs, because such differences change numbers too.
    """
    if len(files) > 2:
        raise InputError(f"Expected one report or two, but got {len(files)} files.")
    from clip_surgery.evaluation.reporting.report import load_reports

    loaded = [load_reports(path) for path in files]
    if len(loaded) == 1:
        _show_one(loaded[0], markdown=markdown)
        return
    from clip_surgery.evaluation.reporting.differences import differences, differences_markdown

    report_differences = differences(*loaded)
    if markdown:
        typer.echo(differences_markdown(report_differences))
    else:
        _show_two(report_differences, names=[str(path) for path in files])


def _show_one(reports: list[Report], *, markdown: bool) -> None:
    """Print the table, and the settings that all its rows share."""
    from clip_surgery.apps.cli.shared.report_tables import show_reports
    from clip_surgery.evaluation.reporting.differences import report_conditions

    show_reports(reports, markdown=markdown)
    first, *others = [report_conditions(report) for report in reports]
    shared = [
        f"{name}: {value}"
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    ]
    typer.echo("\nMeasured with:\n" if markdown else "measured with:")
    for line in shared:
        console.result(f"- {line}" if markdown else f"  {line}")


def _show_two(report_differences: Differences, *, names: list[str]) -> None:
    """Print the differences of numbers as a table, and those of the settings."""
    from clip_surgery.apps.cli.shared.report_tables import show_number_table
    from clip_surgery.evaluation.reporting.differences import settings_lines

    show_number_table(
        ("method", *report_differences.columns),
        [
            (row, *(report_differences.cell(row, name) for name in report_differences.columns))
            for row in report_differences.rows
        ],
        title=" -> ".join(names),
    )
    lines = settings_lines(report_differences, report_differences.settings())
    console.result("what else differs:" if lines else "nothing else differs")
    for line in lines:
        console.result(f"  {line}")
