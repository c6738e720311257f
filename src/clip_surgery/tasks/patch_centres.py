"""Cells: where a grid over the model's frame has its cells, and which of them show the image."""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.framing import Framing


def patch_centres(framing: Framing, rows: int, columns: int) -> Tensor:
    """Centres of a grid's cells (rows, columns, 2), (x, y) in pixels of the frame."""
    y = (torch.arange(rows) + 0.5) * (framing.frame.height / rows)
    x = (torch.arange(columns) + 0.5) * (framing.frame.width / columns)
    grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([grid_x, grid_y], dim=-1)


def patches_in_image(framing: Framing, rows: int, columns: int) -> Tensor:
    """Which cells (rows, columns) have their centre in the image and not in a margin, bool."""
    start = torch.tensor([framing.offset.width, framing.offset.height])
    length = torch.tensor([framing.content.width, framing.content.height])
    centres = patch_centres(framing, rows, columns)
    return ((centres >= start) & (centres < start + length)).all(dim=-1)
