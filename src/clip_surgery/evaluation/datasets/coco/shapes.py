"""COCO's shapes as masks: polygons through pycocotools, run lengths, objects laid on each other.

Two objects may claim one pixel; COCO gives no order. The smaller object is on top: a fork on a
plate on a table stays visible. Equal areas: the later one in the file.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError, MissingExtraError
from clip_surgery.evaluation.datasets.coco.annotations import Instance
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED
from clip_surgery.records.mask_files import decode_rle

_LEAST = 6  # numbers of a triangle; two points enclose nothing (and pycocotools would take a box)
_FARTHEST = 1e5  # px; lines to points far outside would fill the memory
_FILL = "expected run lengths that fill {} x {}, but got {}."


def check_pycocotools() -> None:
    """Make sure that shapes can be drawn.

    Raises:
        MissingExtraError: without pycocotools.
    """
    if find_spec("pycocotools") is None:
        raise MissingExtraError.of("evaluation", "pycocotools")


def paint(instances: Iterable[Instance], size_hw: tuple[int, int], of: str) -> NDArray[np.int64]:
    """The mask (H, W) of an image's objects: indices of classes, smaller objects on top.

    Pixels of a crowd that no object of its own covers are not judged.

    Raises:
        InputError: when a shape is damaged; names the annotation of file `of`.

    Example:
        >>> runs = [{"size": [1, 3], "counts": counts} for counts in ([1, 1, 1], [0, 3])]
        >>> fork, table = (
        ...     Instance(number=number, index=number, crowd=False, shape=shape)
        ...     for number, shape in enumerate(runs)
        ... )
        >>> paint([fork, table], (1, 3), "instances.json")
        array([[1, 0, 1]])
    """
    # shapes come column by column, and turning eight bytes a pixel around would take longest
    mask = np.full(size_hw, NO_OBJECT, dtype=np.int16, order="F")
    drawn = []
    for instance in instances:
        try:
            inside = draw(instance.shape, size_hw)
        except InputError as error:
            raise InputError(f"{of}: annotation {instance.number}: {error}") from None
        if instance.crowd:
            mask[inside] = NOT_JUDGED
        else:
            drawn.append((np.count_nonzero(inside), instance.index, inside))
    for _, index, inside in sorted(drawn, key=lambda one: -one[0]):
        mask[inside] = index
    return np.ascontiguousarray(mask).astype(np.int64)


def draw(shape: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """One shape of COCO's as a mask (H, W): polygons [[x, y, x, y, ...], ...] or run lengths.

    Polygons are joined; coordinates are in pixels from the upper left corner. Run lengths go down
    the columns, as a list or as COCO's text.

    Raises:
        InputError: when the shape is neither, or is not of this size.

    Example:
        >>> draw({"size": [1, 3], "counts": [1, 2]}, (1, 3)).tolist()
        [[False, True, True]]
    """
    if isinstance(shape, list):
        return _fill([points for points in map(_polygon, shape) if len(points) >= _LEAST], size_hw)
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
        raise InputError(_FILL.format(*size_hw, _short(counts))) from None


def _fill(polygons: list[list[float]], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The inside of polygons; pycocotools gives run lengths, which its own `decode` warns about."""
    from pycocotools import mask as coco_mask

    if not polygons:
        return np.zeros(size_hw, dtype=np.bool_)
    runs = coco_mask.merge(coco_mask.frPyObjects(polygons, *size_hw))
    return decode_rle({"size": list(size_hw), "counts": runs["counts"].decode()})


def _unroll(counts: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of run lengths; pycocotools would not see it when they end too early."""
    if (
        not isinstance(counts, list)
        or not all(isinstance(count, int) and count >= 0 for count in counts)
        or sum(counts) != size_hw[0] * size_hw[1]
    ):
        raise InputError(_FILL.format(*size_hw, _short(counts)))
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size_hw, order="F")


def _polygon(points: Any) -> list[float]:
    if (
        not isinstance(points, list)
        or len(points) % 2
        or not all(isinstance(value, int | float) and abs(value) < _FARTHEST for value in points)
    ):
        raise InputError(f"expected polygons x, y, x, y, ... in pixels, but got {_short(points)}.")
    return points


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
