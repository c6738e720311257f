"""Masks in the formats of files: palette images as in PASCAL VOC, and run lengths as in COCO.

A palette image has the colours of PASCAL VOC, which are computed from the bits of the class index,
so that classes have fixed and well separated colours. Run lengths (RLE) are in the compressed form
of COCO, which pycocotools reads: the lengths of runs of 0 and 1 in turn, column by column. From the
fourth on, each is stored as the difference to the length two before. Numbers are written in digits
of five bits.
"""

from __future__ import annotations

from functools import cache
from typing import TypedDict

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
    return {"size": list(array.shape), "counts": _digits(runs)}


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


def _digits(values: NDArray[np.int64]) -> str:
    """Integers as text: digits of five bits, lowest first; bit 5 is set if more digits follow."""
    letters: list[NDArray[np.int64]] = []  # the k-th letter of all values
    has_letter: list[NDArray[np.bool_]] = []  # whether a value has a k-th letter
    unfinished = np.ones(len(values), bool)
    while unfinished.any():
        has_letter.append(unfinished)
        digits, values = values & 31, values >> 5
        unfinished = unfinished & (values != np.where(digits & 16, -1, 0))
        letters.append(48 + (digits | 32 * unfinished))
    text = np.stack(letters, axis=1)[np.stack(has_letter, axis=1)]
    return text.astype(np.uint8).tobytes().decode("ascii")


def _as_array(values: Tensor | NDArray[np.generic]) -> NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values
