"""The result of one image as one row of a Parquet table.

Lists with one entry per text are in the order of the column `texts`. An image that could not be
used has its path and its error, and null in every other column.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from clip_surgery.apps.batch.arrow import require_arrow
from clip_surgery.apps.batch.job import TaskSettings
from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.images import InputImage
from clip_surgery.inputs.names import printable
from clip_surgery.records.instances import InstancePart, Instances, instances
from clip_surgery.records.mask_files import encode_rle
from clip_surgery.segmenters.segmenter import Segmenter
from clip_surgery.tasks.boxes import Box
from clip_surgery.tasks.masks import Mask, masks
from clip_surgery.tasks.points import Points
from clip_surgery.tasks.presence import presence

Row = dict[str, Any]
_MAX_HALF = float(np.finfo(np.float16).max)


def schema(settings: TaskSettings, *, segmenter: bool) -> Any:
    """The Arrow schema of the rows, with the columns of the chosen tasks.

    Args:
        settings: what is computed for each image.
        segmenter: whether there is a segmenter, whose masks are in the column `cut_outs`.

    Raises:
        MissingExtraError: if pyarrow is not installed.
    """
    pa = require_arrow()
    float_type, int_type = pa.float32(), pa.int32()
    size = pa.struct({"height": int_type, "width": int_type})
    point = pa.struct({"x": float_type, "y": float_type, "label": pa.int8()})
    corners: dict[str, Any] = dict.fromkeys(("left", "top", "right", "bottom"), int_type)
    rle = {"size": pa.list_(int_type), "counts": pa.string()}
    columns_of_task: dict[str, dict[str, Any]] = {
        "scores": {"scores": pa.list_(float_type)},
        "presence": {"presence": pa.list_(float_type)},
        "points": {"points": pa.list_(pa.list_(point))},
        "boxes": {"boxes": pa.list_(pa.list_(pa.struct({**corners, "score": float_type})))},
        "masks": {"masks": pa.list_(pa.struct(rle))},
        "maps": {
            "grid": pa.struct({"rows": int_type, "columns": int_type}),
            "maps": pa.list_(pa.float16()),
        },
        "features": {"features": pa.list_(float_type), "modified": pa.int64()},
    }
    if segmenter:
        columns_of_task["masks"]["cut_outs"] = pa.list_(pa.struct({**rle, "score": float_type}))
    fields = {"path": pa.string(), "size": size, "texts": pa.list_(pa.string())}
    for task, columns in columns_of_task.items():
        if task in settings.tasks:
            fields |= columns
    return pa.schema({**fields, "error": pa.string()})


def image_row(
    image: InputImage,
    explanation: Explanation,
    settings: TaskSettings,
    segmenter: Segmenter | None,
) -> Row:
    """The row of one image, as for `image_rows`."""
    [row] = image_rows([image], explanation, settings, segmenter)
    return row


def image_rows(
    images: Sequence[InputImage],
    explanation: Explanation,
    settings: TaskSettings,
    segmenter: Segmenter | None,
) -> list[Row]:
    """The rows of several images, for which each task runs once.

    Args:
        images: B images.
        explanation: their explanation, of B images and C texts.
        settings: what to compute.
        segmenter: the segmenter for `cut_outs`, or None.

    Returns:
        Values by column for each image. `masks` are the pixels where a text wins the segmentation,
        null where it wins none; with `min_presence`, only texts that are present compete.
        `cut_outs` are masks of the segmenter, null where a text yields no prompt. `maps` are patch
        scores (C, rows, columns), flattened.

    Raises:
        InputError: if a score is not finite, or the method does not support a task.
    """
    parts = [part for part in get_args(InstancePart) if part in settings.tasks]
    for image, scores, image_scores in zip(
        images, explanation.patch_scores, explanation.image_scores, strict=True
    ):
        if not (scores.isfinite().all() and image_scores.isfinite().all()):
            raise InputError(f"{image.name}: expected finite scores, but got others.")
    instances_of_images = instances(
        explanation,
        parts=parts,
        point_rule=settings.points,
        box_rule=settings.boxes,
        min_presence=settings.min_presence,
    )
    probabilities = presence(explanation).tolist() if "presence" in settings.tasks else None
    rows = []
    for index, (image, image_instances) in enumerate(zip(images, instances_of_images, strict=True)):
        row = _row(image, explanation, index, image_instances, settings)
        if probabilities is not None:
            row["presence"] = probabilities[index]
        if "masks" in settings.tasks and segmenter is not None:
            row["cut_outs"] = _cut_outs(image, explanation[index], settings, segmenter)
        rows.append(row)
    return rows


def _row(
    image: InputImage,
    explanation: Explanation,
    index: int,
    image_instances: Instances,
    settings: TaskSettings,
) -> Row:
    """The columns of one image, apart from its presence and the masks of a segmenter."""
    height, width = image.size
    scores = explanation.patch_scores[index]
    row: Row = {
        "path": image.name,
        "size": {"height": height, "width": width},
        "texts": list(explanation.texts),
    }
    if "scores" in settings.tasks:
        row["scores"] = explanation.image_scores[index].tolist()
    if "points" in settings.tasks:
        row["points"] = [_points(entry.points) for entry in image_instances]
    if "boxes" in settings.tasks:
        row["boxes"] = [[_box(box) for box in entry.boxes] for entry in image_instances]
    if "masks" in settings.tasks:
        row["masks"] = [None if entry.rle is None else dict(entry.rle) for entry in image_instances]
    if "maps" in settings.tasks:
        row["grid"] = {"rows": scores.shape[1], "columns": scores.shape[2]}
        row["maps"] = _half(scores, image.name)
    return row


def size_row(image: InputImage) -> Row:
    """The row of an image for which nothing is computed that needs texts."""
    height, width = image.size
    return {"path": image.name, "size": {"height": height, "width": width}, "texts": []}


def error_row(name: str, message: str) -> Row:
    r"""The row of an image that could not be used, with the reason in one line.

    Args:
        name: name of the image. Bytes that are not UTF-8 and control characters are escaped.
        message: the reason.

    Example:
        >>> error_row("caf\udce9.png", "not an image")["path"]
        'caf\\xe9.png'
    """
    return {"path": printable(name), "error": printable(" ".join(message.split()))}


def table(rows: Sequence[Row], row_schema: Any) -> Any:
    """The rows as an Arrow table with this schema."""
    pa = require_arrow()
    columns = [_column([row.get(field.name) for row in rows], field) for field in row_schema]
    return pa.table(columns, schema=row_schema)


def maps_of(row: Row) -> Tensor | None:
    """The patch scores of a row that was read with `to_pylist()`.

    Args:
        row: values by column, with the columns "texts", "grid" and "maps".

    Returns:
        Float32 of shape (C, rows, columns) for C texts; None if the row holds an error.

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
    if field.name not in ("maps", "features"):
        return pa.array(values, field.type)
    # Made from numpy arrays: as Python objects, millions of values would take minutes.
    ends = np.cumsum([0 if value is None else value.size for value in values], dtype=np.int32)
    offsets = np.concatenate([[0], ends]).astype(np.int32)
    present = [value for value in values if value is not None]
    dtype = field.type.value_type.to_pandas_dtype()
    flat = np.concatenate(present) if present else np.zeros(0, dtype)
    is_null = pa.array([value is None for value in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(flat), mask=is_null)


def _half(scores: Tensor, name: str) -> Any:
    """The scores as a flat float16 array."""
    if scores.numel() and float(scores.abs().max()) > _MAX_HALF:
        raise InputError(
            f"{name}: expected evidence within {_MAX_HALF:.0f}, which maps of float16 can hold, "
            f"but got {float(scores.abs().max()):.3g}."
        )
    return scores.to(torch.float16).contiguous().view(-1).numpy()


def _points(points: Points) -> list[Row]:
    return [
        {"x": x, "y": y, "label": label}
        for (x, y), label in zip(points.xy.tolist(), points.labels.tolist(), strict=True)
    ]


def _box(box: Box) -> Row:
    left, top, right, bottom = box.xyxy
    return {"left": left, "top": top, "right": right, "bottom": bottom, "score": box.score}


def _cut_outs(
    image: InputImage, explanation: Explanation, settings: TaskSettings, segmenter: Segmenter
) -> list[Row | None]:
    """For each text, the mask of the segmenter; None if the text yields no prompt."""
    [of_image] = masks(
        explanation,
        [image],
        segmenter,
        prompt_kinds=settings.prompt_kinds,
        rule=settings.points,
        box_rule=settings.boxes,
        min_presence=settings.min_presence,
    )
    return [None if mask is None else _cut_out(mask) for mask in of_image]


def _cut_out(mask: Mask) -> Row:
    return {**encode_rle(mask.mask), "score": mask.score}
