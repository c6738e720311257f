"""Report: what was measured, on what, with which settings; as JSON and as a Markdown table."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from clip_surgery.errors import InputError

FORMAT = "clip-surgery report 1"
PACKAGES = ("clip-surgery", "torch", "open_clip_torch", "transformers", "numpy", "pillow")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


@dataclass(frozen=True, kw_only=True)
class Report:
    """The numbers of one method on one data set.

    Attributes:
        row: how the method is called in tables.
        values: the numbers by name; percentages unless the name says otherwise.
        pictures: how many pictures were measured.
        settings: dataset, backbone, method, templates and framing as text.
        versions: of Python and the packages that matter.
    """

    row: str
    values: dict[str, float]
    pictures: int
    settings: dict[str, str]
    versions: dict[str, str] = field(default_factory=installed_versions)

    def to_json(self) -> dict[str, object]:
        """Everything as plain values."""
        return {"format": FORMAT, **asdict(self)}


def save_reports(reports: Sequence[Report], path: str | Path) -> None:
    """Write reports to one JSON file."""
    text = json.dumps([report.to_json() for report in reports], indent=1)
    Path(path).write_text(text + "\n", encoding="utf-8")


def load_reports(path: str | Path) -> list[Report]:
    """Read what `save_reports` wrote.

    Raises:
        InputError: when the file is missing or holds something else.
    """
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
        kinds = {entry.pop("format") for entry in entries}
        if kinds - {FORMAT}:
            raise InputError(f"Expected reports of format {FORMAT!r}, but {path} has {kinds}.")
        return [Report(**entry) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"Expected a file of reports, but {path}: {error}.") from error


def markdown_table(reports: Sequence[Report]) -> str:
    """One row a report, one column a number, in the order they first come.

    Example:
        >>> report = Report(row="similarity", values={"AP": 4.25}, pictures=1, settings={})
        >>> print(markdown_table([report]))
        | method | AP |
        |---|---|
        | similarity | 4.2 |
    """
    columns = list(dict.fromkeys(name for report in reports for name in report.values))
    lines = ["| method | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for report in reports:
        cells = [
            format_value(name, report.values[name]) if name in report.values else "-"
            for name in columns
        ]
        lines.append(f"| {report.row} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def format_value(name: str, value: float) -> str:
    """A number as tables show it: thresholds with two digits, the rest with one."""
    return f"{value:.2f}" if name == "threshold" else f"{value:.1f}"
