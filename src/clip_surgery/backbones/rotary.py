"""Axial rotary positions: queries and keys turned by angles of their row and column.

Source: RoFormer (arXiv 2104.09864) with two axes, as EVA-02 (arXiv 2303.11331) and Perception
Encoder (arXiv 2504.13181) use it. A pair of channels turns by t theta_j, t the patch's coordinate,
theta_j = temperature^(-j / (d/4)); a quarter of the channels' pairs is for each axis, half of the
head's width d in all. On another grid than the one of training, coordinates are scaled to it. The
angles belong to a grid, so a tower with rotary positions has its blocks made for one (`Tower.at`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.tower import TokenMap
from clip_surgery.grid import PatchGrid


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """How a tower's rotary positions are made.

    Attributes:
        width: d, channels of a head.
        temperature: its theta_0 is 1, the slowest is about 1 / temperature.
        offset: coordinate of the first row and column.
        reference: rows and columns that coordinates are scaled to, or None to leave them.
        columns_first: whether the first half of the pairs turns by the column.
        halves: whether channel i is paired with i + d/2 instead of its neighbour.
    """

    width: int
    temperature: float
    offset: float
    reference: tuple[int, int] | None
    columns_first: bool
    halves: bool

    def turning(self, grid: PatchGrid, *, prefix_tokens: int, device: torch.device) -> TokenMap:
        """A map of (B, K + P, h, d) that turns the patches of a grid; prefix tokens stay."""
        angles = self.angles(grid).to(device)[:, None]  # (P, 1, d/2)
        cos, sin = angles.cos(), angles.sin()

        def turn(tokens: Tensor) -> Tensor:
            prefix, patches = tokens[:, :prefix_tokens], tokens[:, prefix_tokens:]
            if self.halves:
                one, other = patches.chunk(2, dim=-1)
            else:
                one, other = patches.reshape(*patches.shape[:-1], -1, 2).unbind(-1)
            turned = [one * cos - other * sin, other * cos + one * sin]
            joined = torch.cat(turned, -1) if self.halves else torch.stack(turned, -1).flatten(-2)
            return torch.cat([prefix, joined.to(tokens.dtype)], dim=1)

        return turn

    def angles(self, grid: PatchGrid) -> Tensor:
        """Angles (P, d/2), float32."""
        count = self.width // 4
        bands = self.temperature ** -(torch.arange(count, dtype=torch.float32) / count)
        sizes = (grid.rows, grid.columns)
        down, across = (
            (torch.arange(size, dtype=torch.float32) + self.offset) / size * wanted
            for size, wanted in zip(sizes, self.reference or sizes, strict=True)
        )
        by_row = (down[:, None] * bands)[:, None].expand(-1, grid.columns, -1)
        by_column = (across[:, None] * bands)[None].expand(grid.rows, -1, -1)
        order = (by_column, by_row) if self.columns_first else (by_row, by_column)
        return torch.cat(order, dim=-1).flatten(0, 1)
