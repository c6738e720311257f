"""Reports: the results of an evaluation with all settings, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from clip_surgery.errors import InputError
from clip_surgery.evaluation.reporting.provenance import (
    describe_machine,
    installed_versions,
    source_commit,
)
from clip_surgery.inputs.names import printable
from clip_surgery.storage.atomic_file import writing_atomically

FORMAT = "clip-surgery report 2"
_FIRST_FORMAT = "clip-surgery report 1"  # without failures, complete, commit and machine
SHOWN_FAILURES = 5
REMARK = "remark"
"""Name of the setting of a report that says why the method's settings do not suit the model."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The results of one method on one data set.

    Attributes:
        row: name of the method in tables.
        values: the numbers by name, in percent unless the name says otherwise.
        images: number of images that were evaluated.
        settings: dataset, backbone, weights, method, protocol, templates and framing as text.
        failures: for each image that could not be read, one line with its index and the reason.
        complete: whether all images were evaluated; False if the evaluation was interrupted.
        versions: versions of Python and of the packages that numbers depend on.
        commit: git commit of the source tree, or None for an installed package.
        machine: processor and accelerators, without the name of the machine.

    Raises:
        InputError: if a field has the wrong type, or a number is not finite.
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
        has_numbers = _is_mapping_to(self.values, (int, float))
        wrong = [
            name
            for name, is_valid in (
                ("row", isinstance(self.row, str)),
                ("values", has_numbers and all(map(_is_finite, self.values.values()))),
                ("images", isinstance(self.images, int) and self.images >= 0),
                ("settings", _is_mapping_to(self.settings, str)),
                ("failures", all(isinstance(line, str) for line in self.failures)),
                ("complete", isinstance(self.complete, bool)),
                ("versions", _is_mapping_to(self.versions, str)),
                ("commit", self.commit is None or isinstance(self.commit, str)),
                ("machine", isinstance(self.machine, str)),
            )
            if not is_valid
        ]
        if wrong:
            raise InputError(
                f"Expected a report whose fields have their types, but got "
                f"{wrong[0]} = {getattr(self, wrong[0])!r}."
            )

    def to_json(self) -> dict[str, object]:
        """Return all fields as values that JSON can represent."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Report:
        """Create a report from the output of `to_json`, of this format or the first.

        Raises:
            InputError: if the format is another one, or fields are missing, unknown or wrong.
        """
        if not isinstance(entry, Mapping):
            raise InputError(
                f"Expected an object for each report, but got {reprlib.repr(entry):.60}."
            )
        entry_format = entry.get("format")
        if entry_format not in (FORMAT, _FIRST_FORMAT):
            raise InputError(
                f"Expected reports of format {FORMAT!r}, but got {entry_format!r:.60}."
            )
        values = {name: value for name, value in entry.items() if name != "format"}
        if entry_format == _FIRST_FORMAT:  # the defaults would describe this machine
            values = {"failures": [], "complete": True, "commit": None, "machine": "", **values}
        known = [report_field.name for report_field in fields(cls)]
        wrong = sorted(set(known) ^ set(values))
        if wrong or not isinstance(values["failures"], list):
            raise InputError(
                f"Expected fields {', '.join(known)}; missing, unknown or wrong: "
                f"{', '.join(wrong) or 'failures'}."
            )
        return cls(**{**values, "failures": tuple(values["failures"])})


def _is_finite(value: float) -> bool:
    return abs(value) <= sys.float_info.max  # also for integers that no float can represent


def _is_mapping_to(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, dict) and all(
        isinstance(key, str) and isinstance(item, kind) and not isinstance(item, bool)
        for key, item in value.items()
    )


def save_reports(reports: Sequence[Report], path: str | Path) -> None:
    """Write reports to one JSON file. The file is complete or absent; an old one is replaced.

    Raises:
        InputError: if the file cannot be written.
    """
    path = Path(path)
    text = json.dumps([report.to_json() for report in reports], indent=1, ensure_ascii=False)
    try:
        with writing_atomically(path, durable=True) as file:
            # File names may contain bytes that are not UTF-8; JSON can store them as \udcff.
            file.write((text + "\n").encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:  # ValueError: the path contains NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{printable(path)}: cannot be written ({reason}).") from error


def load_reports(path: str | Path) -> list[Report]:
    """Read a file of reports.

    Raises:
        InputError: if the file is missing or damaged, or does not contain reports.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"Expected a file of reports, but {printable(path)}: {error}.") from error
    if not isinstance(entries, list) or not entries:
        raise InputError(
            f"Expected a list of reports, but {path} contains {reprlib.repr(entries):.60}."
        )
    try:
        return [Report.from_json(entry) for entry in entries]
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def markdown_table(reports: Sequence[Report]) -> str:
    """Format reports as a Markdown table with one row per report and one column per number.

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
    """Return the names of all numbers, in the order of their first occurrence."""
    return list(dict.fromkeys(name for report in reports for name in report.values))


def format_cell(report: Report, name: str) -> str:
    """Format a number of a report for tables; "-" if the report has no such number."""
    return format_value(name, report.values[name]) if name in report.values else "-"


def format_value(name: str, value: float) -> str:
    """Format a number for tables: thresholds with two decimals, others with one."""
    return f"{value:.2f}" if name == "threshold" else f"{value:.1f}"


def with_remark(report: Report, remark: str | None) -> Report:
    """Return the report with a remark on a method whose settings do not suit the model.

    Args:
        report: a report of one method.
        remark: the remark (see `methods.remarks`), or None to return the report as it is.
    """
    if remark is None:
        return report
    return replace(report, settings={**report.settings, REMARK: remark})


def report_remarks(reports: Sequence[Report]) -> list[str]:
    """Return one line for each method whose settings do not suit the model.

    Example:
        >>> report = Report(row="gem", values={}, images=1, settings={})
        >>> report_remarks([report, with_remark(report, "The temperature is too low.")])
        ['gem: The temperature is too low.']
    """
    return [
        f"{report.row}: {report.settings[REMARK]}"
        for report in reports
        if REMARK in report.settings
    ]


def report_warnings(reports: Sequence[Report]) -> list[str]:
    """Return one line for each reason why reports are not complete.

    Example:
        >>> report = Report(row="gem", values={}, images=7, settings={}, complete=False)
        >>> report_warnings([report])
        ['partial, interrupted after 7 images: gem']
    """
    rows_by_warning: dict[str, list[str]] = {}
    for report in reports:
        if not report.complete:
            warning = f"partial, interrupted after {report.images} images"
            rows_by_warning.setdefault(warning, []).append(report.row)
        if report.failures:
            rows_by_warning.setdefault(_failures_warning(report), []).append(report.row)
    return [
        warning if len(rows) == len(reports) > 1 else f"{warning}: {', '.join(rows)}"
        for warning, rows in rows_by_warning.items()
    ]


def _failures_warning(report: Report) -> str:
    """How many images were left out, with the first reasons."""
    count = len(report.failures)
    reasons = [line.removesuffix(".") for line in report.failures[:SHOWN_FAILURES]]
    if count > SHOWN_FAILURES:
        reasons.append(f"and {count - SHOWN_FAILURES} more")
    return f"{count} image{'s' * (count > 1)} left out: {'; '.join(reasons)}"
