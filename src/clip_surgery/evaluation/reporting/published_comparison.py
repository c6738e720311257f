"""Beside: our numbers and published ones, where they can be compared.

A number is compared with a published one only where data set, protocol, weights and method are the
same and all images were measured; otherwise it is said what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clip_surgery.evaluation.protocols.registry import Protocol
from clip_surgery.evaluation.reporting.differences import format_difference
from clip_surgery.evaluation.reporting.published_numbers import (
    CONFIDENCE,
    MODELS,
    REMARKS,
    Published,
    find_published,
)
from clip_surgery.evaluation.reporting.report import Report, format_value


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """Ours and a published number, or why there is no comparison.

    Attributes:
        row: the report's.
        metric: name of the number, "" where nothing was published for this row.
        ours: what the report has.
        published: None where nothing was.
        differs: what is not as it was there; the numbers compare only when it is empty.
    """

    row: str
    metric: str = ""
    ours: float | None = None
    published: Published | None = None
    differs: tuple[str, ...] = ()

    def cells(self) -> tuple[str, ...]:
        """Row, number, ours, published, difference, confidence, and a note."""
        if self.published is None:
            note = "; ".join(self.differs) or "nothing published for this data set and method"
            return (self.row, *"-----", note)
        ours = "-" if self.ours is None else format_value(self.metric, self.ours)
        cells = (self.row, self.metric, ours, f"{self.published.value:.2f}".rstrip("0").rstrip("."))
        if self.differs or self.ours is None:
            told = f"not comparable: {'; '.join(self.differs) or 'ours has no such number'}"
            return (*cells, "-", self.published.confidence, f"{told} ({self.published.source})")
        difference = format_difference(self.metric, self.ours - self.published.value)
        return (*cells, difference, self.published.confidence, self.published.source)


COLUMNS = ("method", "number", "ours", "published", "difference", "confidence", "source")


def against_paper(
    reports: Sequence[Report],
    *,
    dataset: str,
    protocol: Protocol,
    differs: Sequence[str] = (),
) -> list[PublishedComparison]:
    """Reports of one run beside what was published for their rows.

    Args:
        reports: of one data set, model and protocol.
        dataset: its registered name.
        protocol: what they were measured by.
        differs: what else is not as it is in papers, such as a part of the data set.
    """
    found = []
    for report in reports:
        candidates = find_published(dataset=dataset, method=report.row)
        same = [one for one in candidates if one.protocol == protocol.name]
        found += [
            PublishedComparison(
                row=report.row,
                metric=one.metric,
                ours=report.values.get(one.metric),
                published=one,
                differs=(*_differing(one, report, protocol), *differs),
            )
            for one in same or candidates
        ] or [PublishedComparison(row=report.row)]
    return found


def _differing(one: Published, report: Report, protocol: Protocol) -> Iterator[str]:
    """What is not as it was for the published number."""
    if one.protocol != protocol.name:
        yield f"published by protocol {one.protocol}, not {protocol.name}"
    model = report.settings.get("backbone", "an unknown model")
    if model not in MODELS[one.model]:
        yield f"published for {one.model}, not {model}"
    if not report.complete:
        yield f"interrupted after {report.images} images"
    if report.failures:
        yield f"{len(report.failures)} images left out"


def against_markdown(found: Sequence[PublishedComparison]) -> str:
    """The comparison as a table, one line a published number or row without one."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(one.cells()) + " |" for one in found]
    return "\n".join(lines)


def footnotes(found: Sequence[PublishedComparison], *, protocol: Protocol) -> list[str]:
    """What the letters in the table mean, and what else was published by this protocol."""
    used = {one.published.confidence for one in found if one.published is not None}
    lines = [f"Confidence {letter}: {CONFIDENCE[letter]}." for letter in sorted(used)]
    return [*lines, *(text for name, text in REMARKS.items() if name == protocol.name)]
