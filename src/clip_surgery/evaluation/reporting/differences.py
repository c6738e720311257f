"""Differences: two lists of reports beside each other, and which of their settings differ.

A number may be compared with another where everything else is equal; so what is not equal is
part of the answer.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from clip_surgery.errors import InputError
from clip_surgery.evaluation.reporting.report import Report, format_value, number_names


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing that two reports have otherwise.

    Attributes:
        name: of the setting, or what else it is.
        before: its value in the first, "-" where it has none.
        after: its value in the second.
        rows: the methods whose reports differ so.
    """

    name: str
    before: str
    after: str
    rows: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Differences:
    """Two lists of reports, matched by row.

    Attributes:
        rows: every method, in the order they first come.
        columns: every number, likewise.
        before: the first list's reports by row.
        after: the second list's.

    Example:
        >>> old = Report(row="gem", values={"AP": 40.0}, images=9, settings={"size": "224"})
        >>> new = Report(row="gem", values={"AP": 42.5}, images=9, settings={"size": "448"})
        >>> found = differences([old], [new])
        >>> found.cell("gem", "AP"), [(one.name, one.after) for one in found.settings()]
        ('40.0 -> 42.5 (+2.5)', [('size', '448')])
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    before: dict[str, Report]
    after: dict[str, Report]

    def cell(self, row: str, column: str) -> str:
        """Both values and the difference, "-" for one that is missing."""
        pair = [side[row].values.get(column) if row in side else None for side in self._sides]
        told = ["-" if value is None else format_value(column, value) for value in pair]
        before, after = pair
        if before is None or after is None:
            return "-" if before is after else " -> ".join(told)
        return f"{told[0]} -> {told[1]} ({format_difference(column, after - before)})"

    def settings(self) -> list[Setting]:
        """What else differs between the reports of one row; equal differences stand once."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for row in self.rows:
            if row not in self.before or row not in self.after:
                continue
            one, other = (circumstances(side[row]) for side in self._sides)
            for name in dict.fromkeys((*one, *other)):
                pair = one.get(name, "-"), other.get(name, "-")
                if pair[0] != pair[1]:
                    found.setdefault((name, *pair), []).append(row)
        return [
            Setting(name=name, before=before, after=after, rows=tuple(rows))
            for (name, before, after), rows in found.items()
        ]

    @property
    def _sides(self) -> tuple[dict[str, Report], dict[str, Report]]:
        return self.before, self.after


def differences(before: Sequence[Report], after: Sequence[Report]) -> Differences:
    """Match two lists of reports by row.

    Raises:
        InputError: when a row stands twice in a list.
    """
    sides = []
    for place, reports in (("first", before), ("second", after)):
        rows = [report.row for report in reports]
        twice = sorted({row for row in rows if rows.count(row) > 1})
        if twice:
            raise InputError(
                f"Expected each row once, but the {place} reports have {twice[0]!r} several times."
            )
        sides.append({report.row: report for report in reports})
    return Differences(
        rows=tuple(dict.fromkeys(report.row for report in (*before, *after))),
        columns=tuple(number_names([*before, *after])),
        before=sides[0],
        after=sides[1],
    )


def format_difference(name: str, value: float) -> str:
    """A difference as tables show it, with its sign; none is 0 and not -0.

    Example:
        >>> format_difference("AP", -0.04), format_difference("threshold", 0.05)
        ('0.0', '+0.05')
    """
    told = format_value(name, value)
    if float(told) == 0:
        return told.lstrip("-")
    return told if value < 0 else f"+{told}"


def differences_markdown(found: Differences) -> str:
    """The table, and below it a list of the settings that differ."""
    lines = [
        "| method | " + " | ".join(found.columns) + " |",
        "|---|" + "---|" * len(found.columns),
        *(
            f"| {row} | " + " | ".join(found.cell(row, name) for name in found.columns) + " |"
            for row in found.rows
        ),
    ]
    settings = found.settings()
    if settings:
        lines += ["", "What else differs:", ""]
        lines += [f"- {line}" for line in settings_lines(found, settings)]
    return "\n".join(lines)


def settings_lines(found: Differences, settings: Sequence[Setting]) -> list[str]:
    """One line a setting: its name, both values, and the methods, unless all differ so."""
    both = [row for row in found.rows if row in found.before and row in found.after]
    return [
        f"{one.name}: {' -> '.join(what_differs(one.before, one.after))}"
        + ("" if len(one.rows) == len(both) else f" ({', '.join(one.rows)})")
        for one in settings
    ]


def what_differs(before: str, after: str) -> tuple[str, str]:
    """Of two reprs of one class only the fields that differ, other texts as they are.

    Example:
        >>> what_differs("Rule(mode='squash', size=224)", "Rule(mode='squash', size=512)")
        ('size=224', 'size=512')
    """
    one, other = _fields(before), _fields(after)
    if one is None or other is None or before.partition("(")[0] != after.partition("(")[0]:
        return before, after
    names = [name for name in dict.fromkeys((*one, *other)) if one.get(name) != other.get(name)]
    told = [
        ", ".join(f"{name}={side[name]}" for name in names if name in side) for side in (one, other)
    ]
    return told[0] or "-", told[1] or "-"


def _fields(text: str) -> dict[str, str] | None:
    """The fields of a repr such as "Rule(size=224)" as text, None for what is no such repr."""
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError):
        return None
    if not isinstance(call, ast.Call) or call.args:
        return None
    return {key.arg or "**": ast.unparse(key.value) for key in call.keywords}


def circumstances(report: Report) -> dict[str, str]:
    """All beside the numbers that they may depend on."""
    return {
        **report.settings,
        "images": str(report.images),
        "images left out": str(len(report.failures)),
        "complete": "yes" if report.complete else "no",
        **{f"{package}'s version": number for package, number in report.versions.items()},
        "commit": report.commit or "-",
        "machine": report.machine or "-",
    }
