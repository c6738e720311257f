"""Boxes around the connected parts of maps, as masks of patches.

Source: TagCLIP (AAAI 2024, arXiv 2312.12828) and FreeCP (ICCV 2025) limit attention to the boxes of
a class. Their codes take contours of OpenCV and cut a box at the last row and column; here parts
connect by sides and corners and boxes reach the rim.

Letters: M maps of rows x columns patches.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_TOUCHING = np.array([np.zeros((3, 3)), np.ones((3, 3)), np.zeros((3, 3))], dtype=np.uint8)
"""Patches that touch by a side or a corner are connected; maps do not touch each other."""


def box_masks(parts: Tensor) -> Tensor:
    """Return which patches are in a box around a connected part of their map.

    Args:
        parts: (M, rows, columns) bool.

    Returns:
        (M, rows, columns) bool.

    Example:
        >>> box_masks(torch.tensor([[[True, False], [False, True]]])).tolist()
        [[[True, True], [True, True]]]
    """
    count, rows, columns = parts.shape
    changes = np.zeros((count, rows + 1, columns + 1), dtype=np.int32)
    map_number, top, bottom, left, right = boxes_of_parts(parts.cpu().numpy()).T
    # The sum over all earlier rows and columns is the number of boxes that a patch is in.
    for row, column, change in ((top, left, 1), (top, right, -1), (bottom, left, -1)):
        np.add.at(changes, (map_number, row, column), change)
    np.add.at(changes, (map_number, bottom, right), 1)
    inside = changes.cumsum(axis=1).cumsum(axis=2)[:, :-1, :-1] > 0
    return torch.from_numpy(inside).to(parts.device)


def boxes_of_parts(parts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the boxes (n, 5) of the connected parts of maps (M, rows, columns).

    The columns are the map, first row, last row, first column and last column; last ones are
    exclusive.
    """
    from scipy import ndimage  # takes a third of a second, which other refinements do not need

    labels, _ = ndimage.label(parts, structure=_TOUCHING)
    boxes = [
        (maps.start, rows.start, rows.stop, columns.start, columns.stop)
        for maps, rows, columns in ndimage.find_objects(labels)
    ]
    return np.array(boxes, dtype=np.int64).reshape(-1, 5)
