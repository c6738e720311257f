"""Values of maps for the browser, and descriptions of maps in words."""

from __future__ import annotations

import base64

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.framing import Size

VALUES_SIDE = 64
"""Maximum number of values along a side; maps are smooth, and the browser interpolates."""
CLASSES_SIDE = 128
PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "centre", "right"),
    ("lower left", "bottom", "lower right"),
)


def encode_map(heatmap: Tensor) -> str:
    """Return a map (H, W) in [0, 1] as "columns,rows,bytes", bytes in base64 from 0 to 255.

    Example:
        >>> import torch
        >>> encode_map(torch.tensor([[0.0, 1.0]]))
        '2,1,AP8='
    """
    values = np.rint(heatmap.clamp(0, 1).cpu().numpy() * 255).astype(np.uint8)
    return _encode(_sampled(values, VALUES_SIDE))


def encode_classes(classes: NDArray[np.integer]) -> str:
    """Return classes (H, W) from -1 to 254 as `encode_map` does, each increased by 1."""
    return _encode(_sampled((classes + 1).clip(0, 255).astype(np.uint8), CLASSES_SIDE))


def describe_peak(heatmap: Tensor, size: Size) -> str:
    """Return in words where a map (H, W) is highest in an image of the given size.

    Example:
        >>> import torch
        >>> describe_peak(torch.eye(2)[:1], Size(100, 200))
        'strongest at the left (x 50, y 50 px)'
        >>> describe_peak(torch.zeros(2, 2), Size(100, 200))
        'no part stands out'
    """
    if float(heatmap.max()) <= float(heatmap.min()):
        return "no part stands out"
    return f"strongest at the {_place(heatmap, size)}"


def describe_signs(levels: Tensor, size: Size) -> str:
    """Return in words where a map (H, W) of an image adds most and where it takes away most.

    Example:
        >>> import torch
        >>> describe_signs(torch.tensor([[1.0, 0.0, -1.0]]), Size(100, 300))
        'adds most at the left (x 50, y 50 px), takes away most at the right (x 250, y 50 px)'
        >>> describe_signs(torch.zeros(2, 2), Size(100, 200))
        'no part stands out'
    """
    parts = [
        f"{verb} most at the {_place(signed, size)}"
        for verb, signed in (("adds", levels), ("takes away", -levels))
        if float(signed.max()) > 0
    ]
    return ", ".join(parts) or "no part stands out"


def _place(heatmap: Tensor, size: Size) -> str:
    """Where a map (H, W) is highest."""
    rows, columns = heatmap.shape
    row, column = divmod(int(heatmap.argmax()), columns)
    y, x = (row + 0.5) / rows, (column + 0.5) / columns
    place = PLACES[int(3 * y)][int(3 * x)]
    return f"{place} (x {x * size.width:.0f}, y {y * size.height:.0f} px)"


def _sampled(values: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The values at the centres of a grid of at most `side` x `side` cells."""
    rows, columns = (_centres(length, min(length, side)) for length in values.shape)
    return values[np.ix_(rows, columns)]


def _centres(length: int, count: int) -> NDArray[np.intp]:
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def _encode(values: NDArray[np.uint8]) -> str:
    content = base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
    return f"{values.shape[1]},{values.shape[0]},{content}"
