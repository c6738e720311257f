"""Peaks: the rows that say of each text how well it fits, and where its map is highest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_surgery.apps.cli.shared.tables import Column, Number

if TYPE_CHECKING:
    from clip_surgery.records.explanations import Record

PEAK_COLUMNS: tuple[Column, ...] = ("text", Number("score"), Number("peak at x, y"))


def peak_rows(record: Record) -> list[tuple[str, ...]]:
    """A row for each text of one image."""
    rows: list[tuple[str, ...]] = []
    for text in record["texts"]:
        peak = text["peak"]
        place = f"{peak['x']:.0f}, {peak['y']:.0f}" if peak else "flat"
        rows.append((text["text"], f"{text['score']:.3f}", place))
    return rows
