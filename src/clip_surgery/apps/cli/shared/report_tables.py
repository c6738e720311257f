"""Report tables: the numbers of reports for the eye or as Markdown, and what belongs to them."""

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
    """The table of reports, and below it what is partial or was left out."""
    from clip_surgery.evaluation.reporting.report import (
        format_cell,
        markdown_table,
        number_names,
        report_warnings,
    )

    warnings = report_warnings(reports)
    if markdown:
        typer.echo(markdown_table(reports))
        for line in warnings:
            typer.echo(f"\n{line}")
        return
    columns = number_names(reports)
    settings = reports[0].settings
    told = [settings[name] for name in ("dataset", "backbone") if name in settings]
    told += [] if protocol is None else [f"protocol {protocol}"]
    show_number_table(
        ("method", *columns),
        [(report.row, *(format_cell(report, name) for name in columns)) for report in reports],
        title=", ".join(told),
    )
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
    """Show the comparison with published numbers, and what their confidence means."""
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
    """Print a table whose columns are numbers except the first and the column "source"."""
    show_table(
        [columns[0], *(name if name == "source" else Number(name) for name in columns[1:])],
        rows,
        title=title,
        wrap_first=False,
    )
