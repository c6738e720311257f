"""Comparison of two lists of reports: the differences of their numbers and of their settings.

Numbers can be compared only if everything else is equal, so all other differences are listed.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from clip_surgery.errors import InputError
from clip_surgery.evaluation.reporting.report import Report, format_value, number_names


@dataclass(frozen=True, kw_only=True)
class SettingDifference:
    """A setting that differs between two reports.

    Attributes:
        name: name of the setting.
        before: its value in the first report, "-" if it has none.
        after: its value in the second report, "-" if it has none.
        rows: rows of the reports with this difference.
    """

    name: str
    before: str
    after: str
    rows: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Two lists of reports, matched by row.

    Attributes:
        rows: all rows, in the order of their first occurrence.
        columns: names of all numbers, in the order of their first occurrence.
        before: reports of the first list by row.
        after: reports of the second list by row.

    Example:
        >>> old = Report(row="gem", values={"AP": 40.0}, images=9, settings={"size": "224"})
        >>> new = Report(row="gem", values={"AP": 42.5}, images=9, settings={"size": "448"})
        >>> compared = differences([old], [new])
        >>> compared.cell("gem", "AP")
        '40.0 -> 42.5 (+2.5)'
        >>> [(setting.name, setting.after) for setting in compared.settings()]
        [('size', '448')]
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    before: dict[str, Report]
    after: dict[str, Report]

    def cell(self, row: str, column: str) -> str:
        """Format both values and their difference, with "-" for a missing value."""
        before, after = (
            reports[row].values.get(column) if row in reports else None
            for reports in (self.before, self.after)
        )
        texts = ["-" if value is None else format_value(column, value) for value in (before, after)]
        if before is None or after is None:
            return "-" if before is after else " -> ".join(texts)
        return f"{texts[0]} -> {texts[1]} ({format_difference(column, after - before)})"

    def settings(self) -> list[SettingDifference]:
        """Return the settings that differ between the reports of a row, equal differences once."""
        rows_by_difference: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            if row not in self.before or row not in self.after:
                continue
            before, after = report_conditions(self.before[row]), report_conditions(self.after[row])
            for name in dict.fromkeys((*before, *after)):
                values = before.get(name, "-"), after.get(name, "-")
                if values[0] != values[1]:
                    rows_by_difference.setdefault((name, *values), []).append(row)
        return [
            SettingDifference(name=name, before=before, after=after, rows=tuple(rows))
            for (name, before, after), rows in rows_by_difference.items()
        ]


def differences(before: Sequence[Report], after: Sequence[Report]) -> Differences:
    """Match two lists of reports by row.

    Raises:
        InputError: if a row occurs more than once in a list.
    """
    reports_by_row = []
    for position, reports in (("first", before), ("second", after)):
        rows = [report.row for report in reports]
        repeated = sorted({row for row in rows if rows.count(row) > 1})
        if repeated:
            raise InputError(
                f"Expected each row once, but the {position} reports have {repeated[0]!r} several "
                "times."
            )
        reports_by_row.append({report.row: report for report in reports})
    return Differences(
        rows=tuple(dict.fromkeys(report.row for report in (*before, *after))),
        columns=tuple(number_names([*before, *after])),
        before=reports_by_row[0],
        after=reports_by_row[1],
    )


def format_difference(name: str, value: float) -> str:
    """Format a difference for tables, with its sign; zero is 0 and not -0.

    Example:
        >>> format_difference("AP", -0.04), format_difference("threshold", 0.05)
        ('0.0', '+0.05')
    """
    text = format_value(name, value)
    if float(text) == 0:
        return text.lstrip("-")
    return text if value < 0 else f"+{text}"


def differences_markdown(compared: Differences) -> str:
    """Format the numbers as a Markdown table, followed by the list of settings that differ."""
    lines = [
        "| method | " + " | ".join(compared.columns) + " |",
        "|---|" + "---|" * len(compared.columns),
        *(
            f"| {row} | " + " | ".join(compared.cell(row, name) for name in compared.columns) + " |"
            for row in compared.rows
        ),
    ]
    settings = compared.settings()
    if settings:
        lines += ["", "What else differs:", ""]
        lines += [f"- {line}" for line in settings_lines(compared, settings)]
    return "\n".join(lines)


def settings_lines(compared: Differences, settings: Sequence[SettingDifference]) -> list[str]:
    """Format each setting as one line: name, both values and, unless all rows differ, the rows."""
    shared = [row for row in compared.rows if row in compared.before and row in compared.after]
    return [
        f"{setting.name}: {' -> '.join(differing_fields(setting.before, setting.after))}"
        + ("" if len(setting.rows) == len(shared) else f" ({', '.join(setting.rows)})")
        for setting in settings
    ]


def differing_fields(before: str, after: str) -> tuple[str, str]:
    """Shorten two reprs of the same class to the fields that differ; return other texts unchanged.

    Example:
        >>> differing_fields("Rule(mode='squash', size=224)", "Rule(mode='squash', size=512)")
        ('size=224', 'size=512')
    """
    fields_before, fields_after = _fields(before), _fields(after)
    same_class = before.partition("(")[0] == after.partition("(")[0]
    if fields_before is None or fields_after is None or not same_class:
        return before, after
    names = [
        name
        for name in dict.fromkeys((*fields_before, *fields_after))
        if fields_before.get(name) != fields_after.get(name)
    ]
    shortened = [
        ", ".join(f"{name}={fields[name]}" for name in names if name in fields)
        for fields in (fields_before, fields_after)
    ]
    return shortened[0] or "-", shortened[1] or "-"


def report_conditions(report: Report) -> dict[str, str]:
    """Return everything except the numbers that they may depend on, as text by name."""
    return {
        **report.settings,
        "images": str(report.images),
        "images left out": str(len(report.failures)),
        "complete": "yes" if report.complete else "no",
        **{f"version of {package}": number for package, number in report.versions.items()},
        "commit": report.commit or "-",
        "machine": report.machine or "-",
    }


def _fields(text: str) -> dict[str, str] | None:
    """The fields of a repr such as "Rule(size=224)" as text, or None for other texts."""
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(call, ast.Call) or call.args:
        return None
    return {keyword.arg or "**": ast.unparse(keyword.value) for keyword in call.keywords}
