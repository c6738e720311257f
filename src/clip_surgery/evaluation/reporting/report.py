"""Report: what was measured, on what, with which settings; as JSON and as a Markdown table."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError
from clip_surgery.evaluation.reporting.provenance import (
    describe_machine,
    installed_versions,
    source_commit,
)
from clip_surgery.storage.atomic_file import writing_atomically

FORMAT = "clip-surgery report 2"
_FIRST_FORMAT = "clip-surgery report 1"  # had no failures, complete, commit and machine
SHOWN_FAILURES = 5


@dataclass(frozen=True, kw_only=True)
class Report:
    """The numbers of one method on one data set.

    Attributes:
        row: how the method is called in tables.
        values: the numbers by name; percentages unless the name says otherwise.
        images: how many images were measured.
        settings: dataset, backbone, weights, method, protocol, templates and framing as text.
        failures: one line for each image that could not be measured: which, and why.
        complete: whether the whole was run; False for one that was interrupted.
        versions: of Python and the packages that matter.
        commit: of the source tree it was run from, None for an installed package.
        machine: processor and accelerators, without the machine's name.

    Raises:
        InputError: when a field is not of its kind, or a number is not finite.
    """

    row: str
    values: dict[str, float]
    images: int
    settings: dict[str, str]
    failures: tuple[str, ...] = ()
    complete: bool = True
    versions: dict[str, str] = field(default_factory=installed_versions)
    commit: str | None = field(default_factory=source_commit)
    machine: str = field(default_factory=describe_machine)

    def __post_init__(self) -> None:
        numbers = _is_mapping_to(self.values, (int, float))
        wrong = [
            name
            for name, right in (
                ("row", isinstance(self.row, str)),
                ("values", numbers and all(map(_is_finite, self.values.values()))),
                ("images", isinstance(self.images, int) and self.images >= 0),
                ("settings", _is_mapping_to(self.settings, str)),
                ("failures", all(isinstance(line, str) for line in self.failures)),
                ("complete", isinstance(self.complete, bool)),
                ("versions", _is_mapping_to(self.versions, str)),
                ("commit", self.commit is None or isinstance(self.commit, str)),
                ("machine", isinstance(self.machine, str)),
            )
            if not right
        ]
        if wrong:
            raise InputError(
                f"Expected a report with fields of their kinds, but got "
                f"{wrong[0]} = {getattr(self, wrong[0])!r}."
            )

    def to_json(self) -> dict[str, object]:
        """Everything as plain values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Report:
        """Read what `to_json` gave, in this version or the first.

        Raises:
            InputError: for another format, or fields that are missing, unknown or wrong.
        """
        if not isinstance(entry, Mapping):
            raise InputError(f"Expected an object for each report, but got {entry!r:.60}.")
        written = entry.get("format")
        if written not in (FORMAT, _FIRST_FORMAT):
            raise InputError(f"Expected reports of format {FORMAT!r}, but got {written!r}.")
        given = {name: value for name, value in entry.items() if name != "format"}
        if written == _FIRST_FORMAT:  # nothing of this machine may stand in for what is not known
            given = {"failures": [], "complete": True, "commit": None, "machine": "", **given}
        known = [own.name for own in fields(cls)]
        odd = sorted(set(known) ^ set(given))
        if odd or not isinstance(given["failures"], list):
            raise InputError(f"Expected fields {', '.join(known)}, but not so {odd or 'failures'}.")
        return cls(**{**given, "failures": tuple(given["failures"])})


def _is_finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max  # asks whole numbers beyond every float too


def _is_mapping_to(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(one, kind) and not isinstance(one, bool)
        for key, one in value.items()
    )


def save_reports(reports: Sequence[Report], path: str | Path) -> None:
    """Write reports to one JSON file, which appears whole or not at all.

    Raises:
        InputError: when it cannot be written.
    """
    path = Path(path)
    text = json.dumps([report.to_json() for report in reports], indent=1, ensure_ascii=False)
    try:
        with writing_atomically(path) as file:
            # Names of files may hold what is no text; as \udcff it is JSON and comes back.
            file.write((text + "\n").encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}).") from error


def load_reports(path: str | Path) -> list[Report]:
    """Read what `save_reports` wrote.

    Raises:
        InputError: when the file is missing or holds something else.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Expected a file of reports, but {path}: {error}.") from error
    if not isinstance(entries, list) or not entries:
        raise InputError(f"Expected a list of reports, but {path} holds {entries!r:.60}.")
    try:
        return [Report.from_json(entry) for entry in entries]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def markdown_table(reports: Sequence[Report]) -> str:
    """One row a report, one column a number, in the order they first come.

    Example:
        >>> report = Report(row="similarity", values={"AP": 4.25}, images=1, settings={})
        >>> print(markdown_table([report]))
        | method | AP |
        |---|---|
        | similarity | 4.2 |
    """
    columns = number_names(reports)
    lines = ["| method | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for report in reports:
        cells = [format_cell(report, name) for name in columns]
        lines.append(f"| {report.row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number_names(reports: Sequence[Report]) -> list[str]:
    """The names of all numbers, in the order they first come."""
    return list(dict.fromkeys(name for report in reports for name in report.values))


def format_cell(report: Report, name: str) -> str:
    """A report's number as tables show it, "-" where it has none of this name."""
    return format_value(name, report.values[name]) if name in report.values else "-"


def format_value(name: str, value: float) -> str:
    """A number as tables show it: thresholds with two digits, the rest with one."""
    return f"{value:.2f}" if name == "threshold" else f"{value:.1f}"


def warnings_of(reports: Sequence[Report]) -> list[str]:
    """What a reader of the table must know: rows that are partial, images left out.

    Example:
        >>> report = Report(row="gem", values={}, images=7, settings={}, complete=False)
        >>> warnings_of([report])
        ['partial, interrupted after 7 images: gem']
    """
    lines: dict[str, list[str]] = {}
    for report in reports:
        if not report.complete:
            told = f"partial, interrupted after {report.images} images"
            lines.setdefault(told, []).append(report.row)
        if report.failures:
            more = len(report.failures) - SHOWN_FAILURES
            told = f"{len(report.failures)} image{'s' * (len(report.failures) > 1)} left out: "
            told += "; ".join(line.removesuffix(".") for line in report.failures[:SHOWN_FAILURES])
            told += f"; and {more} more" if more > 0 else ""
            lines.setdefault(told, []).append(report.row)
    return [
        told if len(rows) == len(reports) > 1 else f"{told}: {', '.join(rows)}"
        for told, rows in lines.items()
    ]
