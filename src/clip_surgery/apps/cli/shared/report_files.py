"""Reports of an evaluation as files: tables with bars as HTML, Markdown with a plot, and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from clip_surgery.errors import InputError
from clip_surgery.figures.bars import Panel
from clip_surgery.inputs.names import printable

if TYPE_CHECKING:
    from clip_surgery.evaluation.reporting.differences import Differences
    from clip_surgery.evaluation.reporting.report import Report
    from clip_surgery.figures.page_format import PageFormat
    from clip_surgery.figures.sheet import Sheet


@dataclass(frozen=True, kw_only=True)
class ReportPage:
    """What a report shows: numbers of methods, and the conditions under which they were measured.

    Attributes:
        title: the data set and the model, or the names of the two files.
        panels: the numbers; all have the same rows.
        markdown: the numbers and conditions as Markdown.
        lines_title: title of the lines.
        lines: remarks and conditions, one a line.
    """

    title: str
    panels: Sequence[Panel]
    markdown: str
    lines_title: str
    lines: Sequence[str]

    def figure(self, page: PageFormat, *, heading: str) -> Sheet:
        """Return the plots."""
        from clip_surgery.figures.bars import bars_figure

        is_comparison = any(len(values) > 1 for _, values, _ in self.panels[0].rows)
        notes = (
            ["Grey bars are the numbers before, blue bars those after."] if is_comparison else []
        )
        return bars_figure(self.panels, heading=heading, notes=notes, page=page)

    def html(self) -> str:
        """Return a page of one file, without scripts: a table with a bar in each cell."""
        resources = files("clip_surgery.apps.cli.shared") / "html_report_files"
        style = (resources / "evaluation.css").read_text(encoding="utf-8")
        head = "".join(f"<th>{_plain(panel.title)}</th>" for panel in self.panels)
        rows = "".join(self._html_row(index) for index in range(len(self.panels[0].rows)))
        lines = "".join(f"<li>{_plain(line)}</li>" for line in self.lines)
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            f"<title>{_plain(self.title)}</title><style>{style}</style></head>\n<body>"
            f"<h1>{_plain(self.title)}</h1><div class=table><table><thead><tr><th>method</th>{head}"
            f"</tr></thead>\n<tbody>{rows}</tbody></table></div>\n<h2>{self.lines_title}</h2>"
            f"<ul>{lines}</ul></body></html>\n"
        )

    def _html_row(self, index: int) -> str:
        cells = ""
        for panel in self.panels:
            _, values, text = panel.rows[index]
            cells += f"<td><span>{_plain(text)}</span>{_bars(values, *panel.limits)}</td>"
        return f"<tr><th scope=row>{_plain(self.panels[0].rows[index][0])}</th>{cells}</tr>\n"


def page_of_reports(reports: Sequence[Report], lines: Sequence[str]) -> ReportPage:
    """Return the page of one file of reports.

    Args:
        reports: the reports.
        lines: the settings that all reports share, one a line.
    """
    from clip_surgery.evaluation.reporting.report import (
        format_cell,
        markdown_table,
        number_names,
        report_remarks,
        report_warnings,
    )

    panels = [
        Panel(
            name,
            [
                (report.row, (report.values.get(name),), format_cell(report, name))
                for report in reports
            ],
        )
        for name in _some(number_names(reports))
    ]
    settings = reports[0].settings
    title = ", ".join(settings[name] for name in ("dataset", "backbone") if name in settings)
    all_lines = [*report_remarks(reports), *report_warnings(reports), *lines]
    return ReportPage(
        title=title or "evaluation",
        panels=panels,
        markdown=f"{markdown_table(reports)}\n\n" + "\n".join(f"- {line}" for line in all_lines),
        lines_title="Measured with",
        lines=all_lines,
    )


def page_of_differences(compared: Differences, *, names: Sequence[str]) -> ReportPage:
    """Return the page of two files of reports, whose names are given."""
    from clip_surgery.evaluation.reporting.differences import differences_markdown, settings_lines

    def value(reports: dict[str, Report], row: str, name: str) -> float | None:
        return reports[row].values.get(name) if row in reports else None

    panels = [
        Panel(
            name,
            [
                (
                    row,
                    (value(compared.before, row, name), value(compared.after, row, name)),
                    compared.cell(row, name),
                )
                for row in compared.rows
            ],
        )
        for name in _some(compared.columns)
    ]
    lines = settings_lines(compared, compared.settings())
    return ReportPage(
        title=" -> ".join(names),
        panels=panels,
        markdown=differences_markdown(compared),
        lines_title="What else differs",
        lines=lines or ["nothing"],
    )


def _some(names: Sequence[str]) -> Sequence[str]:
    if not names:
        raise InputError("Expected reports with numbers, but these have none.")
    return names


def _bars(values: tuple[float | None, ...], low: float, high: float) -> str:
    """A bar for each value on the axis from `low` to `high`."""
    bars = ""
    for position, value in enumerate(values):
        if value is not None:
            start = 100 * (min(0.0, value) - low) / (high - low)
            length = 100 * abs(value) / (high - low)
            kind = "after" if position == len(values) - 1 else "before"
            bars += f'<i class={kind} style="margin-left:{start:.1f}%;width:{length:.1f}%"></i>'
    return bars


def _plain(text: str) -> str:
    return escape(printable(text))


def file_stem(paths: Sequence[Path]) -> str:
    """Return the name of the files of a report, without their endings.

    Example:
        >>> file_stem([Path("runs/before.json"), Path("after.json")])
        'before.after.report'
    """
    return ".".join([*(path.stem[:60] for path in paths), "report"])
