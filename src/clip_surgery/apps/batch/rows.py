"""Rows: what one image gave, as one row of a Parquet table.

Lists over texts are in the order of `texts`, so that points[i] are those of texts[i]. An image
that could not be used has its path and its error, and null in every other column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clip_surgery.apps.batch.arrow import require_arrow
from clip_surgery.apps.batch.job import Asking
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage
from clip_surgery.records.mask_files import encode_classes, encode_rle
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.tasks.boxes import boxes
from clip_surgery.tasks.masks import Mask, masks
from clip_surgery.tasks.points import points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import segment

Row = dict[str, Any]
_LARGEST = float(np.finfo(np.float16).max)


def schema(asking: Asking, *, segmenter: bool) -> Any:
    """The Arrow schema of the rows: the columns of the tasks asked for.

    Raises:
        MissingExtraError: without pyarrow.
    """
    pa = require_arrow()
    small, whole = pa.float32(), pa.int32()
    size = pa.struct({"height": whole, "width": whole})
    click = pa.struct({"x": small, "y": small, "label": pa.int8()})
    corners: dict[str, Any] = dict.fromkeys(("left", "top", "right", "bottom"), whole)
    rle = {"size": pa.list_(whole), "counts": pa.string()}
    columns: dict[str, dict[str, Any]] = {
        "scores": {"scores": pa.list_(small)},
        "presence": {"presence": pa.list_(small)},
        "points": {"points": pa.list_(pa.list_(click))},
        "boxes": {"boxes": pa.list_(pa.list_(pa.struct({**corners, "score": small})))},
        "masks": {"masks": pa.list_(pa.struct(rle))},
        "maps": {
            "grid": pa.struct({"rows": whole, "columns": whole}),
            "maps": pa.list_(pa.float16()),
        },
    }
    if segmenter:
        columns["masks"]["cut_outs"] = pa.list_(pa.struct({**rle, "score": small}))
    fields = {"path": pa.string(), "size": size, "texts": pa.list_(pa.string())}
    for task, own in columns.items():
        if task in asking.tasks:
            fields |= own
    return pa.schema({**fields, "error": pa.string()})


def row(
    picture: InputImage, explanation: Explanation, asking: Asking, segmenter: Segmenter | None
) -> Row:
    """The row of one image.

    `masks` are the pixels where a text wins the segmentation, null where it has none; `cut_outs`
    are a segmenter's masks, null where a text gives no clue; `maps` are raw evidence, (C, rows,
    columns) laid out flat.

    Raises:
        InputError: when a score is not finite, or a task cannot be done with this method.
    """
    scores = explanation.patch_scores[0]
    if not (scores.isfinite().all() and explanation.image_scores.isfinite().all()):
        raise InputError(f"{picture.name}: expected finite scores, but got others.")
    height, width = picture.size
    found: Row = {"path": picture.name, "size": {"height": height, "width": width}}
    found["texts"] = list(explanation.texts)
    for task in asking.tasks:
        match task:
            case "scores":
                found["scores"] = explanation.image_scores[0].tolist()
            case "presence":
                found["presence"] = presence(explanation)[0].tolist()
            case "points":
                found["points"] = _clicks(explanation, asking)
            case "boxes":
                found["boxes"] = _boxes(explanation, asking)
            case "masks":
                found["masks"] = _segments(explanation)
                if segmenter is not None:
                    found["cut_outs"] = _cut_outs(picture, explanation, asking, segmenter)
            case "maps":
                _, rows, columns = scores.shape
                found["grid"] = {"rows": rows, "columns": columns}
                found["maps"] = _half(scores, picture.name)
    return found


def failed(name: str, message: str) -> Row:
    """The row of an image that could not be used, and why in one line."""
    return {"path": name, "error": " ".join(message.split())}


def table(rows: Sequence[Row], of: Any) -> Any:
    """Rows as an Arrow table of this schema."""
    pa = require_arrow()
    return pa.table([_column([row.get(f.name) for row in rows], f) for f in of], schema=of)


def maps_of(row: Row) -> Tensor | None:
    """The maps of a row as it is read back (`table.to_pylist()`), raw (C, rows, columns) float32.

    None for a row with an error.

    Example:
        >>> row = {"texts": ["dog"], "grid": {"rows": 1, "columns": 2}, "maps": [0.5, 0.25]}
        >>> maps_of(row).tolist()
        [[[0.5, 0.25]]]
    """
    if row["maps"] is None:
        return None
    values = torch.tensor(np.asarray(row["maps"], dtype=np.float32))
    return values.view(len(row["texts"]), row["grid"]["rows"], row["grid"]["columns"])


def _column(values: Sequence[Any], field: Any) -> Any:
    pa = require_arrow()
    if field.name != "maps":
        return pa.array(values, field.type)
    # straight from numpy: millions of values would take minutes as Python objects
    ends = np.cumsum([0 if one is None else one.size for one in values], dtype=np.int32)
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    held = [one for one in values if one is not None]
    flat = np.concatenate(held) if held else np.zeros(0, np.float16)
    absent = pa.array([one is None for one in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=absent)


def _half(scores: Tensor, name: str) -> Any:
    if scores.numel() and float(scores.abs().max()) > _LARGEST:
        raise InputError(
            f"{name}: expected evidence within {_LARGEST:.0f}, which maps of float16 can hold, "
            f"but got {float(scores.abs().max()):.3g}."
        )
    return scores.to(torch.float16).contiguous().view(-1).numpy()


def _clicks(explanation: Explanation, asking: Asking) -> list[list[Row]]:
    [points_of_texts] = points(explanation, rule=asking.points, min_presence=asking.min_presence)
    return [
        [
            {"x": x, "y": y, "label": label}
            for (x, y), label in zip(found.xy.tolist(), found.labels.tolist(), strict=True)
        ]
        for found in points_of_texts
    ]


def _boxes(explanation: Explanation, asking: Asking) -> list[list[Row]]:
    [boxes_of_texts] = boxes(explanation, rule=asking.boxes, min_presence=asking.min_presence)
    sides = ("left", "top", "right", "bottom")
    return [
        [{**dict(zip(sides, box.xyxy, strict=True)), "score": box.score} for box in found]
        for found in boxes_of_texts
    ]


def _segments(explanation: Explanation) -> list[Row | None]:
    [classes] = segment(explanation)
    masks_of_texts = encode_classes(classes, len(explanation.texts))
    return [None if mask is None else dict(mask) for mask in masks_of_texts]


def _cut_outs(
    picture: InputImage, explanation: Explanation, asking: Asking, segmenter: Segmenter
) -> list[Row | None]:
    [found] = masks(
        explanation,
        [picture],
        segmenter,
        prompt_kinds=asking.prompt_kinds,
        rule=asking.points,
        box_rule=asking.boxes,
        min_presence=asking.min_presence,
    )
    return [None if mask is None else _cut_out(mask) for mask in found]


def _cut_out(mask: Mask) -> Row:
    return {**encode_rle(mask.mask), "score": mask.score}
