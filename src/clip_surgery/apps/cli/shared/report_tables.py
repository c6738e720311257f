"""Tables of evaluation reports, for a terminal or as Markdown, with remarks and warnings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.tables import Number, show_table

if TYPE_CHECKING:
    from clip_surgery.evaluation.protocols.registry import Protocol
    from clip_surgery.evaluation.reporting.report import Report


def show_reports(reports: Sequence[Report], *, markdown: bool, protocol: str | None = None) -> None:
    """Print the table of reports, then remarks on methods and reasons why reports are partial."""
    from clip_surgery.evaluation.reporting.report import (
        format_cell,
        markdown_table,
        number_names,
        report_remarks,
        report_warnings,
    )

    warnings, remarks = report_warnings(reports), report_remarks(reports)
    if markdown:
        typer.echo(markdown_table(reports))
        for line in (*remarks, *warnings):
            console.result("")
            console.result(line)
        return
    columns = number_names(reports)
    settings = reports[0].settings
    title_parts = [settings[name] for name in ("dataset", "backbone") if name in settings]
    title_parts += [] if protocol is None else [f"protocol {protocol}"]
    show_number_table(
        ("method", *columns),
        [(report.row, *(format_cell(report, name) for name in columns)) for report in reports],
        title=", ".join(title_parts),
    )
    for line in remarks:
        console.result(line)
    for line in warnings:
        console.notice(line)


def show_published_comparison(
    reports: Sequence[Report],
    *,
    dataset: str,
    protocol: Protocol,
    differences: Sequence[str],
    markdown: bool,
) -> None:
    """Print the comparison with published numbers, and what their confidence means."""
    from clip_surgery.evaluation.reporting.published_comparison import (
        COLUMNS,
        compare_with_published,
        comparison_markdown,
        footnotes,
    )

    comparisons = compare_with_published(
        reports, dataset=dataset, protocol=protocol, differences=differences
    )
    if markdown:
        typer.echo(f"\n{comparison_markdown(comparisons)}")
    else:
        show_number_table(
            COLUMNS,
            [comparison.cells() for comparison in comparisons],
            title="comparison with published numbers",
        )
    for line in footnotes(comparisons):
        typer.echo(f"\n{line}" if markdown else line)


def show_number_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = ""
) -> None:
    """Print a table whose columns are numbers except the first and the column "source".

    Columns that do not fit beside each other are printed in further tables, each with the first
    column.
    """
    for number, part in enumerate(column_parts(columns, rows, width=console.results().width)):
        if number:
            console.result("")
        show_table(
            [
                columns[0],
                *(columns[i] if columns[i] == "source" else Number(columns[i]) for i in part),
            ],
            [[row[0], *(row[i] for i in part)] for row in rows],
            title="" if number else title,
            wrap_first=False,
        )


def column_parts(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, width: int
) -> list[list[int]]:
    """Return the indices of the columns behind the first, in groups that fit a width.

    Example:
        >>> column_parts(["method", "AP", "mIoU", "mSC"], [["gem", "1.0", "2.0", "3.0"]], width=18)
        [[1, 2], [3]]
    """
    widths = [
        max(len(name), *(len(row[index]) for row in rows), 1) + 2
        for index, name in enumerate(columns)
    ]
    parts: list[list[int]] = [[]]
    left = width - widths[0]
    for index in range(1, len(columns)):
        if parts[-1] and widths[index] > left + 2:  # the last column has no space behind it
            parts.append([])
            left = width - widths[0]
        parts[-1].append(index)
        left -= widths[index]
    return parts
