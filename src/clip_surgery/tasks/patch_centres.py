"""Centres of the patches of a grid, and which of them show the image instead of a margin."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from clip_surgery.framing import Framing


def patch_centres(framing: Framing, rows: int, columns: int) -> Tensor:
    """Return the centres of a grid's patches (rows, columns, 2), (x, y) in pixels of the frame."""
    y = (torch.arange(rows) + 0.5) * (framing.frame.height / rows)
    x = (torch.arange(columns) + 0.5) * (framing.frame.width / columns)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1)


def patches_in_image(framing: Framing, rows: int, columns: int) -> Tensor:
    """Return which patches (rows, columns) have their centre in the image, as bool."""
    start = torch.tensor([framing.offset.width, framing.offset.height])
    length = torch.tensor([framing.content.width, framing.content.height])
    centres = patch_centres(framing, rows, columns)
    return ((centres >= start) & (centres < start + length)).all(dim=-1)


def stacked_patches_in_image(framings: Sequence[Framing], rows: int, columns: int) -> Tensor:
    """Return `patches_in_image` of several images: (b, rows, columns) bool."""
    known = {framing: patches_in_image(framing, rows, columns) for framing in set(framings)}
    return torch.stack([known[framing] for framing in framings])


def centres_in_pixels(framings: Sequence[Framing], rows: int, columns: int) -> Tensor:
    """Return patch centres of several images (b, rows, columns, 2), (x, y) in their own pixels."""
    known = {
        framing: framing.restore_points(patch_centres(framing, rows, columns))
        for framing in set(framings)
    }
    return torch.stack([known[framing] for framing in framings])
