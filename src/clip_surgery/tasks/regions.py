"""Regions: the connected parts of a mask, by the runs of its rows.

Runs of neighbouring rows that touch are joined (union-find), so the work grows with the number of
runs, not of pixels: a photograph's mask has a few runs a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError


def connected_regions(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the connected parts of a mask (H, W): 1, 2, ... in reading order, 0 outside.

    Pixels that touch by a side or a corner are connected.

    Raises:
        InputError: when the mask is not (H, W) bool.

    Example:
        >>> connected_regions(np.array([[True, False, True], [False, False, True]])).tolist()
        [[1, 0, 2], [0, 0, 2]]
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise InputError(f"Expected a mask (H, W) of bool, but got {mask.shape} {mask.dtype}.")
    rows, starts, ends = _runs(mask)
    parents = list(range(len(rows)))
    of_row = np.searchsorted(rows, np.arange(mask.shape[0] + 1))
    for row in range(1, mask.shape[0]):
        above, below = of_row[row - 1], of_row[row]
        while above < of_row[row] and below < of_row[row + 1]:
            # ends are exclusive: `<=` lets corners touch
            if starts[above] <= ends[below] and starts[below] <= ends[above]:
                _join(parents, int(above), int(below))
            if ends[above] < ends[below]:
                above += 1
            else:
                below += 1
    numbers: dict[int, int] = {}
    labels = np.zeros(mask.shape, np.int64)
    for run, (row, start, end) in enumerate(zip(rows, starts, ends, strict=True)):
        root = _root(parents, run)
        labels[row, start:end] = numbers.setdefault(root, len(numbers) + 1)
    return labels


def _runs(
    mask: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Row, start and exclusive end of every run of True, in reading order."""
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(edges == 1)
    _, ends = np.nonzero(edges == -1)
    return rows, starts, ends


def _root(parents: list[int], run: int) -> int:
    while parents[run] != run:
        parents[run] = parents[parents[run]]
        run = parents[run]
    return run


def _join(parents: list[int], one: int, other: int) -> None:
    first, second = sorted((_root(parents, one), _root(parents, other)))
    parents[second] = first
