"""Records: what an explanation found, as plain values for JSON.

The maps themselves are not in it: `Explanation.save` keeps them exactly, and smaller.
"""

from __future__ import annotations

from typing import TypedDict

from clip_surgery.explanation import Explanation
from clip_surgery.tasks.heatmaps import Peak, peaks

DIGITS = 6  # more would be noise of float32


class PeakRecord(TypedDict):
    """Where a text has most evidence: (x, y) in pixels of the image, and the raw score there."""

    x: float
    y: float
    score: float


class TextRecord(TypedDict):
    """One text in one image: cosine of image and text, and the peak (null for a flat map)."""

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
    """One image, all texts."""

    image: str
    size: SizeRecord
    grid: GridRecord
    backbone: str
    method: str
    texts: list[TextRecord]


def records(explanation: Explanation) -> list[Record]:
    """One record per image, ready for `json.dumps`.

    Raises:
        InputError: when a score is not finite.
    """
    found = peaks(explanation)
    return [
        _record(part, picture_peaks) for part, picture_peaks in zip(explanation, found, strict=True)
    ]


def _record(explanation: Explanation, found: list[Peak | None]) -> Record:
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
            for text, score, peak in zip(explanation.texts, scores, found, strict=True)
        ],
    }


def _peak_record(peak: Peak | None) -> PeakRecord | None:
    if peak is None:
        return None
    return {"x": round(peak.x, 1), "y": round(peak.y, 1), "score": round(peak.score, DIGITS)}
