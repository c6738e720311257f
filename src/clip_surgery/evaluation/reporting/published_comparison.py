"""Comparison of reports with published numbers.

Numbers are compared only if data set, protocol, weights and method are the same and all images were
evaluated. Otherwise the comparison says what differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from clip_surgery.evaluation.protocols.protocol import Protocol
from clip_surgery.evaluation.reporting.differences import format_difference
from clip_surgery.evaluation.reporting.published_numbers import (
    CONFIDENCE,
    MODELS,
    PublishedNumber,
    find_published,
)
from clip_surgery.evaluation.reporting.report import Report, format_value


@dataclass(frozen=True, kw_only=True)
class PublishedComparison:
    """A number of a report and a published number, or why there is no comparison.

    Attributes:
        row: row of the report.
        metric: name of the number; empty if nothing was published for the row.
        value: the number in the report, or None if it has no such number.
        published: the published number, or None if there is none.
        differences: what differs from the publication. The numbers can be compared only if this is
            empty.
    """

    row: str
    metric: str = ""
    value: float | None = None
    published: PublishedNumber | None = None
    differences: tuple[str, ...] = ()

    def cells(self) -> tuple[str, ...]:
        """Return the cells of a table row, see `COLUMNS`."""
        if self.published is None:
            note = "; ".join(self.differences) or "nothing published for this data set and method"
            return (self.row, *"-----", note)
        published = f"{self.published.value:.2f}".rstrip("0").rstrip(".")
        confidence, source = self.published.confidence, self.published.source
        if self.value is None:
            reasons = "; ".join(self.differences) or "the report has no such number"
            note = f"not comparable: {reasons} ({source})"
            return (self.row, self.metric, "-", published, "-", confidence, note)
        value = format_value(self.metric, self.value)
        if self.differences:
            note = f"not comparable: {'; '.join(self.differences)} ({source})"
            return (self.row, self.metric, value, published, "-", confidence, note)
        difference = format_difference(self.metric, self.value - self.published.value)
        return (self.row, self.metric, value, published, difference, confidence, source)


COLUMNS = ("method", "number", "ours", "published", "difference", "confidence", "source")


def compare_with_published(
    reports: Sequence[Report],
    *,
    dataset: str,
    protocol: Protocol,
    differences: Sequence[str] = (),
) -> list[PublishedComparison]:
    """Compare the reports of one evaluation with the published numbers of their rows.

    Args:
        reports: reports of one data set, model and protocol.
        dataset: registered name of the data set.
        protocol: the protocol of the evaluation.
        differences: further differences from publications, for example that only a part of the data
            set was evaluated.

    Returns:
        For each report, one comparison per published number of the protocol. If there are none, the
        numbers of other protocols, or one comparison without a published number.
    """
    comparisons = []
    for report in reports:
        candidates = find_published(dataset=dataset, method=report.row)
        same_protocol = [number for number in candidates if number.protocol == protocol.name]
        comparisons += [
            PublishedComparison(
                row=report.row,
                metric=number.metric,
                value=report.values.get(number.metric),
                published=number,
                differences=(*_differences(number, report, protocol), *differences),
            )
            for number in same_protocol or candidates
        ] or [PublishedComparison(row=report.row)]
    return comparisons


def _differences(number: PublishedNumber, report: Report, protocol: Protocol) -> Iterator[str]:
    """What differs between a report and a publication."""
    if number.protocol != protocol.name:
        yield f"published by protocol {number.protocol}, not {protocol.name}"
    model = report.settings.get("backbone", "an unknown model")
    if model not in MODELS[number.model]:
        yield f"published for {number.model}, not {model}"
    if not report.complete:
        yield f"interrupted after {report.images} images"
    if report.failures:
        yield f"{len(report.failures)} images left out"


def comparison_markdown(comparisons: Sequence[PublishedComparison]) -> str:
    """Format comparisons as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(comparison.cells()) + " |" for comparison in comparisons]
    return "\n".join(lines)


def footnotes(comparisons: Sequence[PublishedComparison]) -> list[str]:
    """Explain the letters of the column "confidence", one line for each letter that occurs."""
    letters = {
        comparison.published.confidence
        for comparison in comparisons
        if comparison.published is not None
    }
    return [f"Confidence {letter}: {CONFIDENCE[letter]}." for letter in sorted(letters)]
