"""Axial rotary position embeddings: queries and keys are rotated by angles of row and column.

Source: RoFormer (arXiv 2104.09864) with two axes, as in EVA-02 (arXiv 2303.11331), Perception
Encoder (arXiv 2504.13181) and DINOv3 (arXiv 2508.10104). A head of width d has d/2 pairs of
channels; d/4 of them encode the row and d/4 the column. Pair j of an axis is rotated by t theta_j,
where t is the coordinate of the patch and theta_j = temperature^(-j / (d/4)). The angles depend on
the grid, therefore the blocks of such a tower are created for a grid (`Tower.at`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from clip_surgery.backbones.tower import TokenMap
from clip_surgery.grid import PatchGrid


@dataclass(frozen=True, kw_only=True)
class RotaryPositions(ABC):
    """Settings of the rotary positions of a tower.

    Attributes:
        width: d, number of channels of a head.
        temperature: base of the frequencies, which decrease from 1 to about 1 / temperature.
        offset: a number that is added to the coordinates.
        columns_first: whether the first half of the pairs encodes the column.
        half_pairs: whether channel i is paired with channel i + d/2 instead of its neighbour.
    """

    width: int
    temperature: float
    offset: float
    columns_first: bool
    half_pairs: bool

    @abstractmethod
    def coordinates(self, grid: PatchGrid) -> tuple[Tensor, Tensor]:
        """Return the coordinate of each row and of each column of a grid, float32."""

    def rotation(self, grid: PatchGrid, *, prefix_tokens: int, device: torch.device) -> TokenMap:
        """Return a map of queries or keys (B, K + P, h, d) that rotates those of the P patches.

        Up to K tokens without patches are returned as they are.

        Args:
            grid: the grid with P patches.
            prefix_tokens: K, the number of tokens before the patches, which are not rotated.
            device: device of the queries and keys.
        """
        angles = self.angles(grid).to(device)[:, None]  # (P, 1, d/2)
        cos, sin = angles.cos(), angles.sin()

        def rotate(tokens: Tensor) -> Tensor:
            if tokens.shape[1] <= prefix_tokens:  # queries of the first tokens alone
                return tokens
            prefix, patches = tokens[:, :prefix_tokens], tokens[:, prefix_tokens:]
            if self.half_pairs:
                first, second = patches.chunk(2, dim=-1)
            else:
                first, second = patches.reshape(*patches.shape[:-1], -1, 2).unbind(-1)
            pair = [first * cos - second * sin, second * cos + first * sin]  # (B, P, h, d/2) each
            joined = torch.cat(pair, -1) if self.half_pairs else torch.stack(pair, -1).flatten(-2)
            return torch.cat([prefix, joined.to(tokens.dtype)], dim=1)

        return rotate

    def angles(self, grid: PatchGrid) -> Tensor:
        """Return the angles of the patches of a grid in radians, (P, d/2) float32."""
        count = self.width // 4
        frequencies = self.temperature ** -(torch.arange(count, dtype=torch.float32) / count)
        rows, columns = self.coordinates(grid)
        row_angles = (rows[:, None] * frequencies)[:, None].expand(-1, grid.columns, -1)
        column_angles = (columns[:, None] * frequencies)[None].expand(grid.rows, -1, -1)
        if self.columns_first:
            return torch.cat([column_angles, row_angles], dim=-1).flatten(0, 1)
        return torch.cat([row_angles, column_angles], dim=-1).flatten(0, 1)


@dataclass(frozen=True, kw_only=True)
class Rotary(RotaryPositions):
    """Rotary positions of EVA-02 and PE: coordinates are indices, scaled to the training grid.

    Attributes:
        offset: coordinate of the first row and of the first column.
        reference: rows and columns of the grid to which coordinates are scaled, or None if they
            are not scaled.
    """

    reference: tuple[int, int] | None

    def coordinates(self, grid: PatchGrid) -> tuple[Tensor, Tensor]:
        """Return the index of each row and of each column, scaled to the reference grid."""
        sizes = (grid.rows, grid.columns)
        rows, columns = (
            (torch.arange(size, dtype=torch.float32) + self.offset) / size * reference
            for size, reference in zip(sizes, self.reference or sizes, strict=True)
        )
        return rows, columns


@dataclass(frozen=True, kw_only=True)
class CentredRotary(RotaryPositions):
    """Rotary positions of DINOv3: coordinates of patch centres in [-1, 1], times 2 pi.

    Attributes:
        scaled_by: the number of patches that coordinates are divided by: that of each axis
            ("separate"), or the larger or the smaller one for both axes ("max", "min").
    """

    scaled_by: Literal["separate", "max", "min"]

    def coordinates(self, grid: PatchGrid) -> tuple[Tensor, Tensor]:
        """Return the centre of each row and of each column, from -2 pi to 2 pi."""
        sizes = (grid.rows, grid.columns)
        shared = {"separate": None, "max": max(sizes), "min": min(sizes)}[self.scaled_by]
        rows, columns = (
            2 * (torch.arange(size, dtype=torch.float32) + 0.5 + self.offset) / (shared or size) - 1
            for size in sizes
        )
        return 2 * math.pi * rows, 2 * math.pi * columns
