"""Points, boxes, masks and segmentations of one image as plain values for JSON.

Coordinates are in pixels of the image, x before y. Masks are run lengths as in COCO, which
pycocotools reads, and their boxes are (left, top, width, height) as in COCO.
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
    """A box of one text: (left, top, right, bottom) and its score."""

    text: str
    xyxy: list[int]
    score: float


class ObjectRecord(TypedDict):
    """One object: its texts, its points with labels (1 on the object, 0 off it), and its boxes."""

    texts: list[str]
    points: list[list[float]]
    labels: list[int]
    boxes: list[BoxRecord]


class PointsRecord(ImageRecord):
    """Points and boxes of the objects of one image."""

    objects: list[ObjectRecord]


class RegionRecord(TypedDict):
    """A mask as in COCO: area in pixels, box (left, top, width, height), and run lengths."""

    area: int
    bbox: list[int]
    segmentation: Rle


class ClassRecord(RegionRecord):
    """One class of a segmentation; `id` is its value in the palette image of `palette_image`."""

    id: int
    names: list[str]


class SegmentationRecord(ImageRecord):
    """The classes of the segmentation of one image."""

    classes: list[ClassRecord]


class MaskRecord(RegionRecord):
    """The mask of one object by a segmenter, and the points of its prompt."""

    text: str
    score: float
    points: list[list[float]]
    labels: list[int]


class MasksRecord(ImageRecord):
    """The masks of one image, and the texts for which no mask was computed."""

    masks: list[MaskRecord]
    absent: list[str]


def points_record(
    explanation: Explanation,
    objects: Sequence[tuple[Sequence[str], Points, Mapping[str, Sequence[Box]]]],
) -> PointsRecord:
    """Return the record of points and boxes of one image.

    Args:
        explanation: the explanation of the image.
        objects: for each object its texts, its points, and the boxes of each of its texts.
    """
    return {
        **image_record(explanation),
        "objects": [
            {
                "texts": list(texts),
                "points": _rounded(points.xy),
                "labels": points.labels.tolist(),
                "boxes": [
                    {"text": text, "xyxy": list(box.xyxy), "score": round(box.score, DIGITS)}
                    for text, text_boxes in boxes.items()
                    for box in text_boxes
                ],
            }
            for texts, points, boxes in objects
        ],
    }


def segmentation_record(
    explanation: Explanation, segmentation: Tensor, classes: Sequence[Sequence[str]]
) -> SegmentationRecord:
    """Return the record of a segmentation of one image; classes without a pixel are left out.

    Args:
        explanation: the explanation of the image.
        segmentation: class of each pixel (H, W) of the size of the image; -1 for no class.
        classes: the names of each class.
    """
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
    explanation: Explanation, masks: Sequence[Mask | None], texts: Sequence[str]
) -> MasksRecord:
    """Return the record of the masks of one image.

    Args:
        explanation: the explanation of the image.
        masks: one mask per text, or None if no mask was computed.
        texts: the texts.
    """
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
            for mask in masks
            if mask is not None
        ],
        "absent": [text for text, mask in zip(texts, masks, strict=True) if mask is None],
    }


def _rounded(xy: NDArray[np.float32]) -> list[list[float]]:
    """Points as lists with one decimal place."""
    return np.round(xy.astype(np.float64), 1).tolist()  # type: ignore[no-any-return]


def _region(mask: NDArray[np.bool_]) -> RegionRecord:
    """Area, box and run lengths of a mask (H, W); an empty mask has the box (0, 0, 0, 0)."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    bbox = [0, 0, 0, 0]
    if len(rows):
        left, top = int(columns[0]), int(rows[0])
        bbox = [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
    return {"area": int(mask.sum()), "bbox": bbox, "segmentation": encode_rle(mask)}
