"""Masks from COCO's shapes: polygons, drawn by pycocotools, and run lengths.

COCO defines no order for objects that cover the same pixel. Here the smaller object is in front, so
that a fork on a plate on a table stays visible; of equal areas, the later one in the file.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError, MissingExtraError
from clip_surgery.evaluation.datasets.coco.annotations import Instance
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED
from clip_surgery.records.mask_files import decode_rle

_MIN_NUMBERS = 6  # of a triangle; two points have no area, and pycocotools would take a box
_MAX_COORDINATE = 1e5  # px; lines to points far outside would fill the memory
_WRONG_RUNS = "expected run lengths that fill {} x {}, but got {}."


def check_pycocotools() -> None:
    """Check that shapes can be drawn.

    Raises:
        MissingExtraError: if pycocotools is not installed.
    """
    if find_spec("pycocotools") is None:
        raise MissingExtraError.of("evaluation", "pycocotools")


def paint(instances: Iterable[Instance], size_hw: tuple[int, int], name: str) -> NDArray[np.int64]:
    """Draw the objects of an image as a mask of class indices, smaller objects in front.

    Pixels of a crowd that no single object covers are not judged.

    Args:
        instances: the objects and crowds of the image.
        size_hw: height and width of the image in pixels.
        name: name of the file in error messages.

    Returns:
        (H, W) int64.

    Raises:
        InputError: if a shape is damaged; the message names the file and the annotation.

    Example:
        >>> runs = [{"size": [1, 3], "counts": counts} for counts in ([1, 1, 1], [0, 3])]
        >>> fork, table = (
        ...     Instance(number=number, index=number, crowd=False, shape=shape)
        ...     for number, shape in enumerate(runs)
        ... )
        >>> paint([fork, table], (1, 3), "instances.json")
        array([[1, 0, 1]])
    """
    # Shapes are stored column by column; transposing int64 would take most of the time.
    mask = np.full(size_hw, NO_OBJECT, dtype=np.int16, order="F")
    drawn = []
    for instance in instances:
        try:
            inside = draw(instance.shape, size_hw)
        except InputError as error:
            raise InputError(f"{name}: annotation {instance.number!r:.40}: {error}") from None
        if instance.crowd:
            mask[inside] = NOT_JUDGED
        else:
            drawn.append((np.count_nonzero(inside), instance.index, inside))
    for _, index, inside in sorted(drawn, key=lambda area_index_mask: -area_index_mask[0]):
        mask[inside] = index
    return np.ascontiguousarray(mask).astype(np.int64)


def draw(shape: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw one shape of COCO as a mask (H, W) bool.

    Args:
        shape: polygons [[x, y, x, y, ...], ...] in pixels from the upper left corner, whose union
            is drawn, or run lengths down the columns, as a list or as COCO's compressed text.
        size_hw: height and width of the image in pixels.

    Raises:
        InputError: if the shape is neither, or is not of this size.

    Example:
        >>> draw({"size": [1, 3], "counts": [1, 2]}, (1, 3)).tolist()
        [[False, True, True]]
    """
    if isinstance(shape, list):
        return _fill(
            [points for points in map(_polygon, shape) if len(points) >= _MIN_NUMBERS], size_hw
        )
    if not isinstance(shape, dict):
        raise InputError(f"expected polygons or run lengths, but got {type(shape).__name__}.")
    if shape.get("size") != list(size_hw):
        raise InputError(
            f"expected run lengths of size {list(size_hw)}, but got {_short(shape.get('size'))}."
        )
    counts = shape.get("counts")
    if not isinstance(counts, str):
        return _unroll(counts, size_hw)
    try:
        return decode_rle({"size": list(size_hw), "counts": counts})
    except InputError:
        raise InputError(_WRONG_RUNS.format(*size_hw, _short(counts))) from None


def _fill(polygons: list[list[float]], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Draw polygons. The run lengths are decoded here, because pycocotools' decoder warns."""
    from pycocotools import mask as coco_mask

    if not polygons:
        return np.zeros(size_hw, dtype=np.bool_)
    runs = coco_mask.merge(coco_mask.frPyObjects(polygons, *size_hw))
    return decode_rle({"size": list(size_hw), "counts": runs["counts"].decode()})


def _unroll(counts: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode run lengths. pycocotools would not notice if they end too early."""
    if (
        not isinstance(counts, list)
        or not all(isinstance(count, int) and count >= 0 for count in counts)
        or sum(counts) != size_hw[0] * size_hw[1]
    ):
        raise InputError(_WRONG_RUNS.format(*size_hw, _short(counts)))
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size_hw, order="F")


def _polygon(points: Any) -> list[float]:
    if (
        not isinstance(points, list)
        or len(points) % 2
        or not all(
            isinstance(value, int | float) and abs(value) < _MAX_COORDINATE for value in points
        )
    ):
        raise InputError(f"expected polygons x, y, x, y, ... in pixels, but got {_short(points)}.")
    return points


def _short(value: Any) -> str:
    """A short repr, also of values that are long or nested deeply."""
    text = reprlib.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
