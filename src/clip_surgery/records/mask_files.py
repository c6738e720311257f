"""Masks as files: a palette image people can look at, and the run lengths COCO's tools read.

Palette: the colours of PASCAL VOC, whose bits come from the bits of the index, so that any number
of classes has fixed and well separated colours. Run lengths: COCO's compressed form (lengths of
0s and 1s in turn, down the columns, each beyond the third as the difference to the one two before,
in digits of five bits); pycocotools reads what is written here.
"""

from __future__ import annotations

from functools import cache
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError

MOST_CLASSES = 255  # a palette has 256 entries, and the first is the background


class Rle(TypedDict):
    """A mask as COCO stores it: size (height, width) and compressed run lengths."""

    size: list[int]
    counts: str


def palette_image(segmentation: Tensor | NDArray[np.int64]) -> Image.Image:
    """A segmentation (H, W) with classes 0, 1, ... and -1 for none, as a palette image.

    Entry 0 is the background (-1), entry i + 1 class i, as in PASCAL VOC.

    Raises:
        InputError: when it is not (H, W), or a class is below -1 or above 254.

    Example:
        >>> palette_image(np.array([[-1, 0]])).convert("RGB").getpixel((1, 0))
        (128, 0, 0)
    """
    classes = _as_array(segmentation).astype(np.int64)
    if classes.ndim != 2 or not classes.size:
        raise InputError(f"Expected a segmentation (H, W), but got shape {classes.shape}.")
    low, high = int(classes.min()), int(classes.max())
    if low < -1 or high >= MOST_CLASSES:
        raise InputError(
            f"Expected classes from -1 to {MOST_CLASSES - 1}, but got {low} to {high}."
        )
    image = Image.fromarray((classes + 1).astype(np.uint8))
    image.putpalette(voc_palette().tobytes())
    return image


@cache
def voc_palette() -> NDArray[np.uint8]:
    """The 256 colours of PASCAL VOC (256, 3), black first.

    Bits 0, 1 and 2 of an index are the highest bits of red, green and blue, bits 3, 4 and 5 the
    next ones, and so on.

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
    """A mask (H, W) of bool in COCO's compressed run lengths.

    Raises:
        InputError: when the mask is not (H, W) of bool.

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
        runs = np.concatenate([[0], runs])  # the first length is that of 0s
    runs[3:] -= runs[1:-2]  # numpy reads all before it writes
    return {"size": list(array.shape), "counts": _digits(runs)}


def decode_rle(rle: Rle) -> NDArray[np.bool_]:
    """The mask (H, W) of bool that `encode_rle` or pycocotools wrote.

    Raises:
        InputError: when the lengths do not fill the size.
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
    """Whole numbers in digits of five bits, lowest first; bit 5 says that more follow."""
    letters: list[NDArray[np.int64]] = []
    written: list[NDArray[np.bool_]] = []
    more = np.ones(len(values), bool)
    while more.any():
        written.append(more)
        digits, values = values & 31, values >> 5
        more = more & (values != np.where(digits & 16, -1, 0))
        letters.append(48 + (digits | 32 * more))
    kept = np.stack(letters, axis=1)[np.stack(written, axis=1)]
    return kept.astype(np.uint8).tobytes().decode("ascii")


def _as_array(values: Tensor | NDArray[np.generic]) -> NDArray[np.generic]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values
