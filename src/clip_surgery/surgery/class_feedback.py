"""Feedback of classes: a bias of attention towards patches of the same object.

Source: ResCLIP (arXiv 2411.15851), semantic feedback refinement. "released" repeats two errors of
its code: the points at which lines are tested are spread as on the longest line of the image, so
that only the first part of a shorter line is tested, and the blur runs over row-major indices, so
that it wraps around the rows. "paper" tests whole lines and blurs on the grid.

Letters: B images, P patches.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from clip_surgery.grid import PatchGrid

Variant = Literal["paper", "released"]


def class_feedback(classes: Tensor, grid: PatchGrid, *, std: float, variant: Variant) -> Tensor:
    """Return the bias of attention from the classes of patches, (B, P, P) in [0, 1].

    Two patches of one class have 1. If the straight line between them leaves the class, they are
    parts of different objects and have exp(-steps / longest) instead, where steps is the larger of
    their distances in rows and columns. Rows are blurred and divided by their sums, and the matrix
    of each image is divided by its maximum.

    Args:
        classes: the class of each patch, (B, P) int64.
        grid: rows and columns of the patches.
        std: standard deviation of the blur, in patches; it ends at three standard deviations.
        variant: "paper" or "released".
    """
    same = classes[:, :, None] == classes[:, None]
    rows, columns = coordinates(grid, classes.device)
    steps = torch.maximum(distances(rows), distances(columns))  # (P, P)
    longest = max(grid.rows, grid.columns) - 1
    decay = torch.exp(-steps / max(longest, 1))
    connected = line_in_class(classes, grid, variant=variant)
    feedback = same * torch.where(connected, 1.0, decay)
    blurred = blur_rows(feedback, grid, std=std, variant=variant)
    shares = blurred / (blurred.sum(dim=-1, keepdim=True) + 1e-8)
    return shares / shares.amax(dim=(-2, -1), keepdim=True)


def line_in_class(classes: Tensor, grid: PatchGrid, *, variant: Variant) -> Tensor:
    """Return whether all patches on the line from patch i to patch j have the class of i.

    Returns:
        (B, P, P) bool.
    """
    rows, columns = coordinates(grid, classes.device)
    steps = torch.maximum(distances(rows), distances(columns))
    longest = max(grid.rows, grid.columns) - 1
    divisor = steps.clamp(min=1) if variant == "paper" else steps.new_full((), max(longest, 1))
    inside = torch.ones_like(classes[:, :, None] == classes[:, None])
    for step in range(1, longest + 1):
        row = rows[:, None] + ((rows - rows[:, None]) * step / divisor)
        column = columns[:, None] + ((columns - columns[:, None]) * step / divisor)
        row = row.round().clamp(0, grid.rows - 1)  # steps after the end of a line are not used
        column = column.round().clamp(0, grid.columns - 1)
        patch = (row * grid.columns + column).long()  # (P, P)
        inside &= (classes[:, patch] == classes[:, :, None]) | (step > steps)
    return inside


def blur_rows(matrix: Tensor, grid: PatchGrid, *, std: float, variant: Variant) -> Tensor:
    """Return the rows of (B, P, P), blurred by a Gaussian; outside of the grid is zero."""
    rows, columns = grid.rows, grid.columns
    if variant == "released":
        return matrix @ gaussian_matrix(rows * columns, std).to(matrix)
    maps = grid.to_map(matrix)  # (B, P, rows, columns)
    blurred = (
        gaussian_matrix(rows, std).to(matrix) @ maps @ gaussian_matrix(columns, std).to(matrix)
    )
    return grid.from_map(blurred)


def gaussian_matrix(count: int, std: float) -> Tensor:
    """Return the (count, count) matrix of a blur along one axis of this length."""
    reach = int(3 * std)
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float32)
    total = torch.exp(-offsets.square() / (2 * std**2)).sum()
    position = torch.arange(count, dtype=torch.float32)
    distance = position[:, None] - position
    weights = torch.exp(-distance.square() / (2 * std**2)) / total
    return torch.where(distance.abs() <= reach, weights, 0.0)


def coordinates(grid: PatchGrid, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the row and the column of each patch, two float tensors (P,)."""
    index = torch.arange(grid.patches, device=device)
    rows = torch.div(index, grid.columns, rounding_mode="floor")
    return rows.float(), (index % grid.columns).float()


def distances(positions: Tensor) -> Tensor:
    """Return the absolute differences of all pairs of positions (P,), as (P, P)."""
    return (positions[:, None] - positions).abs()
