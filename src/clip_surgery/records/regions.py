"""Places: where things are in one image, as plain values for JSON.

Places are in pixels of the image, x before y; masks are COCO's run lengths, which pycocotools
reads, and boxes beside them COCO's (left, top, width, height).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.explanation import Explanation
from clip_surgery.records.explanations import DIGITS
from clip_surgery.records.mask_files import Rle, encode_rle
from clip_surgery.records.texts import ImageRecord, image_record
from clip_surgery.tasks.boxes import Box
from clip_surgery.tasks.masks import Mask
from clip_surgery.tasks.points import Points


class BoxRecord(TypedDict):
    """A box of one text: left, top, right, bottom."""

    text: str
    xyxy: list[int]
    score: float


class ClicksRecord(TypedDict):
    """One object: its texts, clicks (label 1 on it, 0 off it) and boxes."""

    texts: list[str]
    points: list[list[float]]
    labels: list[int]
    boxes: list[BoxRecord]


class PointsRecord(ImageRecord):
    """Clicks on the objects of one image."""

    objects: list[ClicksRecord]


class RegionRecord(TypedDict):
    """A mask as COCO has it: area in pixels, bbox (left, top, width, height), run lengths."""

    area: int
    bbox: list[int]
    segmentation: Rle


class ClassRecord(RegionRecord):
    """One class of a segmentation; `id` is its value in the palette image."""

    id: int
    names: list[str]


class SegmentationRecord(ImageRecord):
    """The classes that were found in one image."""

    classes: list[ClassRecord]


class MaskRecord(RegionRecord):
    """One object as a segmenter cut it out, and the clicks it was shown."""

    text: str
    score: float
    points: list[list[float]]
    labels: list[int]


class MasksRecord(ImageRecord):
    """The objects of one image, and the texts that gave no clue where to look."""

    masks: list[MaskRecord]
    absent: list[str]


def points_record(
    explanation: Explanation,
    objects: Sequence[tuple[Sequence[str], Points, Mapping[str, Sequence[Box]]]],
) -> PointsRecord:
    """Objects as (texts, clicks, boxes by text)."""
    return {
        **image_record(explanation),
        "objects": [
            {
                "texts": list(texts),
                "points": _rounded(points.xy),
                "labels": points.labels.tolist(),
                "boxes": [
                    {"text": text, "xyxy": list(box.xyxy), "score": round(box.score, DIGITS)}
                    for text, of_text in boxes.items()
                    for box in of_text
                ],
            }
            for texts, points, boxes in objects
        ],
    }


def segmentation_record(
    explanation: Explanation, segmentation: Tensor, classes: Sequence[Sequence[str]]
) -> SegmentationRecord:
    """The classes that have a pixel of a segmentation (H, W)."""
    array = segmentation.cpu().numpy()
    return {
        **image_record(explanation),
        "classes": [
            {"id": number + 1, "names": list(classes[number]), **_region(array == number)}
            for number in np.unique(array).tolist()
            if number >= 0
        ],
    }


def masks_record(
    explanation: Explanation, found: Sequence[Mask | None], texts: Sequence[str]
) -> MasksRecord:
    """Masks of the objects that `texts` name, None for those without a clue."""
    return {
        **image_record(explanation),
        "masks": [
            {
                "text": mask.text,
                "score": round(mask.score, DIGITS),
                "points": _rounded(mask.points.xy),
                "labels": mask.points.labels.tolist(),
                **_region(mask.mask.cpu().numpy()),
            }
            for mask in found
            if mask is not None
        ],
        "absent": [text for text, mask in zip(texts, found, strict=True) if mask is None],
    }


def _rounded(xy: NDArray[np.float32]) -> list[list[float]]:
    return np.round(xy.astype(np.float64), 1).tolist()  # type: ignore[no-any-return]


def _region(mask: NDArray[np.bool_]) -> RegionRecord:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bbox = [0, 0, 0, 0]
    if len(rows):
        left, top = int(columns[0]), int(rows[0])
        bbox = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    return {"area": int(mask.sum()), "bbox": bbox, "segmentation": encode_rle(mask)}
