"""Masks in the formats of files: palette images as in PASCAL VOC, and run lengths as in COCO.

A palette image has the colours of PASCAL VOC, which are computed from the bits of the class index,
so that classes have fixed and well separated colours. Run lengths (RLE) are in the compressed form
of COCO, which pycocotools reads: the lengths of runs of 0 and 1 in turn, column by column. From the
fourth on, each is stored as the difference to the length two before. Numbers are written in digits
of five bits.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError

MAX_CLASSES = 255
"""Number of entries of a palette without the first one, which is the background."""


class Rle(TypedDict):
    """A mask in the format of COCO: size (height, width) and compressed run lengths."""

    size: list[int]
    counts: str


def palette_image(segmentation: Tensor | NDArray[np.int64]) -> Image.Image:
    """Return a segmentation as a palette image with the colours of PASCAL VOC.

    Args:
        segmentation: class of each pixel (H, W) from 0 to 254; -1 for no class.

    Returns:
        A palette image whose value is 0 for no class and i + 1 for class i.

    Raises:
        InputError: if the segmentation is empty or not (H, W), or a class is out of range.

    Example:
        >>> palette_image(np.array([[-1, 0]])).convert("RGB").getpixel((1, 0))
        (128, 0, 0)
    """
    classes = _as_array(segmentation).astype(np.int64)
    if classes.ndim != 2 or not classes.size:
        raise InputError(f"Expected a segmentation (H, W), but got shape {classes.shape}.")
    low, high = int(classes.min()), int(classes.max())
    if low < -1 or high >= MAX_CLASSES:
        raise InputError(f"Expected classes from -1 to {MAX_CLASSES - 1}, but got {low} to {high}.")
    image = Image.fromarray((classes + 1).astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    return image


@cache
def voc_palette() -> NDArray[np.uint8]:
    """Return the 256 colours of PASCAL VOC as an array (256, 3), black first.

    Bits 0, 1 and 2 of an index are the highest bits of red, green and blue, bits 3, 4 and 5 are the
    next lower bits, and so on.

    Example:
        >>> voc_palette()[:3].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        channel, depth = bit % 3, bit // 3
        colours[:, channel] |= ((index >> bit) & 1) << (7 - depth)
    return colours.astype(np.uint8)


def encode_rle(mask: Tensor | NDArray[np.bool_]) -> Rle:
    """Return a mask in the compressed run lengths of COCO.

    Args:
        mask: (H, W) bool.

    Raises:
        InputError: if the mask is not (H, W) or not of bool.

    Example:
        >>> encode_rle(np.array([[False, True], [False, True]]))
        {'size': [2, 2], 'counts': '22'}
    """
    array = _as_array(mask)
    if array.ndim != 2 or array.dtype != np.bool_:
        raise InputError(f"Expected a mask (H, W) of bool, but got {array.shape} {array.dtype}.")
    values = array.ravel(order="F")
    changes = np.flatnonzero(values[1:] != values[:-1]) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(values)]]))
    if len(values) and values[0]:
        runs = np.concatenate([[0], runs])  # the first run is one of 0
    runs[3:] -= runs[1:-2]  # numpy reads all values before it writes
    letters, _ = _digits(runs)
    return {"size": list(array.shape), "counts": letters.tobytes().decode("ascii")}


def encode_classes(segmentation: Tensor | NDArray[np.integer], count: int) -> list[Rle | None]:
    """Return the mask of each class of a segmentation, as `encode_rle` would write it.

    All classes are encoded in one pass over the runs of equal pixels.

    Args:
        segmentation: (H, W) whole numbers, class 0, 1, ... or a negative number for no class.
        count: number of classes.

    Returns:
        One entry per class; None if the class has no pixel.

    Raises:
        InputError: if the segmentation is not (H, W) of whole numbers below `count`.

    Example:
        >>> encode_classes(np.array([[0, 2], [0, 2]]), 3)
        [{'size': [2, 2], 'counts': '022'}, None, {'size': [2, 2], 'counts': '22'}]
    """
    array = _as_array(segmentation)
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"Expected a segmentation (H, W) of whole numbers, but got {array.shape} {array.dtype}."
        )
    if array.size and int(array.max()) >= count:
        raise InputError(f"Expected classes below {count}, but got {array.max()}.")
    lengths, length_counts = _run_lengths_of_classes(array.ravel(order="F"), count)
    first = np.cumsum(length_counts) - length_counts  # index of the first length of each class
    # From the fourth length of a class on, its difference to the length two before is written.
    number_in_class = np.arange(len(lengths)) - np.repeat(first, length_counts)
    two_before = np.concatenate([[0, 0], lengths[:-2]])[: len(lengths)]
    letters, digit_counts = _digits(np.where(number_in_class > 2, lengths - two_before, lengths))
    # The last length, of pixels after the last run of a class, is not written if it is 0.
    last = first + length_counts - 1
    digits_before = np.concatenate([[0], np.cumsum(digit_counts)])
    begins = digits_before[first].tolist()
    ends = digits_before[np.where(lengths[last] > 0, last + 1, last)].tolist()
    return [
        {"size": list(array.shape), "counts": letters[begin:end].tobytes().decode("ascii")}
        if length_count > 1
        else None
        for begin, end, length_count in zip(begins, ends, length_counts.tolist(), strict=True)
    ]


def _run_lengths_of_classes(
    values: NDArray[Any], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The run lengths of the masks of all classes, computed from the runs of equal values.

    The mask of a class with n runs has 2 n + 1 lengths, of 0 and 1 in turn: before each run, of the
    run, and after the last one.

    Args:
        values: class of each pixel (N,); negative for no class.
        count: number of classes.

    Returns:
        The lengths of all classes one after another, and how many of them each class has (count,).
    """
    starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])[: len(values)]
    ends = np.concatenate([starts[1:], [len(values)]])[: len(starts)]
    classes = values[starts].astype(np.int64)
    order = np.argsort(classes, kind="stable")  # runs by class, those of a class in their order
    order = order[classes[order] >= 0]
    length_counts = 2 * np.bincount(classes[order], minlength=count) + 1
    # The lengths of a class are the differences of its bounds: the start and end of each of its
    # runs, and the end of the image. Each class before a run adds one bound besides those of runs.
    bounds = np.full(int(length_counts.sum()), len(values))
    start_index = 2 * np.arange(len(order)) + classes[order]
    bounds[start_index], bounds[start_index + 1] = starts[order], ends[order]
    lengths = np.diff(bounds, prepend=0)
    first = np.cumsum(length_counts) - length_counts
    lengths[first] = bounds[first]
    return lengths, length_counts


def decode_rle(rle: Rle) -> NDArray[np.bool_]:
    """Return the mask (H, W) bool of compressed run lengths of `encode_rle` or pycocotools.

    Raises:
        InputError: if the sum of the run lengths is not H x W.

    Example:
        >>> decode_rle({"size": [2, 2], "counts": "22"}).tolist()
        [[False, True], [False, True]]
    """
    height, width = rle["size"]
    runs: list[int] = []
    value = shift = 0
    for letter in rle["counts"]:
        digit = ord(letter) - 48
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise InputError(f"Expected run lengths that fill {height} x {width}, but got {runs}.")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape((height, width), order="F")


def _digits(values: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Whole numbers in digits of five bits, lowest first; bit 5 is set if more digits follow.

    Returns:
        All digits as ASCII codes, and the number of digits of each whole number.
    """
    letters: list[NDArray[np.int64]] = []  # the k-th letter of all values
    has_letter: list[NDArray[np.bool_]] = []  # whether a value has a k-th letter
    unfinished = np.ones(len(values), bool)
    while unfinished.any():
        has_letter.append(unfinished)
        digits, values = values & 31, values >> 5
        unfinished = unfinished & (values != np.where(digits & 16, -1, 0))
        letters.append(48 + (digits | 32 * unfinished))
    if not letters:
        return np.zeros(0, np.uint8), np.zeros(0, np.int64)
    written = np.stack(has_letter, axis=1)
    return np.stack(letters, axis=1)[written].astype(np.uint8), written.sum(axis=1)


def _as_array(values: Tensor | NDArray[np.generic]) -> NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values
