"""Explanations as plain values for JSON: the score of each text and the peak of its map.

The maps are not included; `Explanation.save` stores them exactly and in less space.
"""

from __future__ import annotations

from typing import TypedDict

from clip_surgery.explanation import Explanation
from clip_surgery.tasks.peaks import Peak, peaks

DIGITS = 6
"""Decimal places of scores; more would be rounding errors of float32."""


class PeakRecord(TypedDict):
    """The maximum of a map: (x, y) in pixels of the image, and the raw score there."""

    x: float
    y: float
    score: float


class TextRecord(TypedDict):
    """One text in one image: the cosine of image and text, and the peak (None for a flat map)."""

    text: str
    score: float
    peak: PeakRecord | None


class SizeRecord(TypedDict):
    """Size of an image in pixels."""

    height: int
    width: int


class GridRecord(TypedDict):
    """Shape of the maps in patches."""

    rows: int
    columns: int


class Record(TypedDict):
    """One image with all texts."""

    image: str
    size: SizeRecord
    grid: GridRecord
    backbone: str
    method: str
    texts: list[TextRecord]


def records(explanation: Explanation) -> list[Record]:
    """Return one record per image, in plain values for `json.dumps`.

    Raises:
        InputError: if a score is not finite.
    """
    return [
        _record(image_explanation, image_peaks)
        for image_explanation, image_peaks in zip(explanation, peaks(explanation), strict=True)
    ]


def _record(explanation: Explanation, image_peaks: list[Peak | None]) -> Record:
    """The record of one image from its explanation and the peak of each text."""
    original = explanation.framings[0].original
    _, rows, columns = explanation.patch_scores[0].shape
    scores = explanation.image_scores[0].tolist()
    return {
        "image": explanation.images[0],
        "size": {"height": original.height, "width": original.width},
        "grid": {"rows": rows, "columns": columns},
        "backbone": explanation.backbone,
        "method": explanation.method,
        "texts": [
            {"text": text, "score": round(score, DIGITS), "peak": _peak_record(peak)}
            for text, score, peak in zip(explanation.texts, scores, image_peaks, strict=True)
        ],
    }


def _peak_record(peak: Peak | None) -> PeakRecord | None:
    if peak is None:
        return None
    return {"x": round(peak.x, 1), "y": round(peak.y, 1), "score": round(peak.score, DIGITS)}
