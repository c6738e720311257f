"""`clip-surgery report`: show the reports of an evaluation, or compare two evaluations."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import quote

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.option_groups import with_options
from clip_surgery.apps.cli.shared.output_options import Overwrite
from clip_surgery.apps.cli.shared.sheet_options import SheetOptions
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.evaluation.reporting.report import Report


class ReportFormat(StrEnum):
    """Kinds of files that a report is written to."""

    HTML = "html"
    MARKDOWN = "md"
    PNG = "png"
    PDF = "pdf"
    SVG = "svg"


PLOTS = (ReportFormat.PNG, ReportFormat.PDF, ReportFormat.SVG)


@with_options
def report(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="A.json [B.json]", help="Files that evaluate --out wrote."),
    ],
    sheet: SheetOptions,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table as Markdown.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", metavar="FOLDER", help="Folder for files with tables and plots."
        ),
    ] = None,
    formats: Annotated[
        list[ReportFormat] | None,
        typer.Option(
            "--format", "-f",
            help="With --out: html (a table with bars), md (a table and a plot), or the plots "
            "alone; repeatable. Default: html.",
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Show the reports of one file, or the differences between two files.

    clip-surgery report before.json after.json --out report/

    Numbers are shown as before -> after (difference), one row per method. Below the table follows
    every setting, version and machine that differs, because such differences change numbers too.
    """
    if len(files) > 2:
        raise InputError(f"Expected one report or two, but got {len(files)} files.")
    if formats and out is None:
        raise InputError("--format needs a folder for the files: --out FOLDER.")
    sheet.check()
    from clip_surgery.evaluation.reporting.report import load_reports

    loaded = [load_reports(path) for path in files]
    if len(loaded) == 1:
        _show_one(loaded[0], markdown=markdown)
    else:
        _show_two(loaded, names=[str(path) for path in files], markdown=markdown)
    if out is not None:
        _write(loaded, files, out, formats or [ReportFormat.HTML], sheet, overwrite=overwrite)


def _write(
    loaded: list[list[Report]],
    paths: list[Path],
    folder: Path,
    formats: list[ReportFormat],
    sheet: SheetOptions,
    *,
    overwrite: bool,
) -> None:
    """Write the files of a report.

    Raises:
        InputError: if a file exists and may not be replaced, or cannot be written.
    """
    from clip_surgery.apps.cli.shared.output_files import make_folder
    from clip_surgery.apps.cli.shared.output_formats import Format
    from clip_surgery.apps.cli.shared.report_files import (
        file_stem,
        page_of_differences,
        page_of_reports,
    )
    from clip_surgery.evaluation.reporting.differences import differences
    from clip_surgery.storage.atomic_file import replacing_atomically

    if len(loaded) == 1:
        page = page_of_reports(loaded[0], _shared_conditions(loaded[0]))
    else:
        page = page_of_differences(differences(*loaded), names=[path.name for path in paths])
    stem = file_stem(paths)
    heading = sheet.heading(page.title)
    plots = sheet.files(lambda medium: page.figure(medium, heading=heading))
    markdown = f"# {page.title}\n\n{page.markdown}\n\n![Numbers as bars]({quote(stem)}.svg)\n"
    writers: dict[str, Callable[[Path], object]] = {
        ReportFormat.HTML: lambda path: path.write_text(page.html(), encoding="utf-8"),
        ReportFormat.MARKDOWN: lambda path: path.write_bytes(
            markdown.encode("utf-8", "backslashreplace")
        ),
        **{kind.value: plots[Format(kind.value)] for kind in ReportFormat if kind in PLOTS},
    }
    kinds = list(dict.fromkeys(formats))
    if ReportFormat.MARKDOWN in kinds and ReportFormat.SVG not in kinds:
        kinds.append(ReportFormat.SVG)  # the plot of the Markdown file
    make_folder(folder)
    targets = {kind: folder / f"{stem}.{kind}" for kind in kinds}
    for path in targets.values():
        if path.exists() and not overwrite:
            raise InputError(f"{path}: exists already; --overwrite replaces it.")
    for kind, path in targets.items():
        try:
            with replacing_atomically(path) as temporary:
                writers[kind](temporary)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error
        console.result(f"wrote {path}")


def _show_one(reports: list[Report], *, markdown: bool) -> None:
    """Print the table, and the settings that all its rows share."""
    from clip_surgery.apps.cli.shared.report_tables import show_reports

    show_reports(reports, markdown=markdown)
    shared = _shared_conditions(reports)
    typer.echo("\nMeasured with:\n" if markdown else "measured with:")
    for line in shared:
        console.result(f"- {line}" if markdown else f"  {line}")


def _shared_conditions(reports: list[Report]) -> list[str]:
    """Return the settings that all reports share, one a line."""
    from clip_surgery.evaluation.reporting.differences import report_conditions

    first, *others = [report_conditions(report) for report in reports]
    return [
        f"{name}: {value}"
        for name, value in first.items()
        if all(other.get(name) == value for other in others)
    ]


def _show_two(loaded: list[list[Report]], *, names: list[str], markdown: bool) -> None:
    """Print the differences of numbers as a table, and those of the settings."""
    from clip_surgery.apps.cli.shared.report_tables import show_number_table
    from clip_surgery.evaluation.reporting.differences import (
        differences,
        differences_markdown,
        settings_lines,
    )

    compared = differences(*loaded)
    if markdown:
        typer.echo(differences_markdown(compared))
        return
    show_number_table(
        ("method", *compared.columns),
        [(row, *(compared.cell(row, name) for name in compared.columns)) for row in compared.rows],
        title=" -> ".join(names),
    )
    lines = settings_lines(compared, compared.settings())
    console.result("what else differs:" if lines else "nothing else differs")
    for line in lines:
        console.result(f"  {line}")
