"""Find outlier tokens, patches in which the model stores global information, and replace them.

Source: SC-CLIP (arXiv 2411.15869) fills outlier tokens from their 3 x 3 neighbours before the last
block. SFP (ICCV 2025) finds them by attention: they receive more attention from the class token
than from patches. Differences: the attention from patches is the mean over all patches and heads of
the second-last block, and only neighbours that are not outliers themselves are averaged.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads


def find_outliers(heads: Heads) -> Tensor:
    """Return which patches get more attention from the class token than from patches, (B, P) bool.

    The attention matrix (B, N, N) is computed for one head at a time, because fused attention does
    not return the attention that a patch receives.

    Args:
        heads: query, key and value of the second-last block.
    """
    prefix = heads.prefix_tokens
    balance = torch.zeros_like(heads.normed[:, prefix:, 0], dtype=torch.float32)  # (B, P)
    for query, key in zip(heads.query.unbind(1), heads.key.unbind(1), strict=True):
        attention = (query @ key.transpose(-2, -1) * heads.scale).float().softmax(dim=-1)
        received = attention[:, :, prefix:]  # (B, N, P)
        balance += received[:, 0] - received[:, prefix:].mean(dim=1)
    return balance > 0


def fill_outliers(
    patches: Tensor, outliers: Tensor, grid: PatchGrid, *, zero_if_isolated: bool = False
) -> Tensor:
    """Return patches with each outlier replaced by the mean of its neighbours that are no outliers.

    A patch has up to eight neighbours.

    Args:
        patches: (B, P, E).
        outliers: (B, P) bool.
        grid: rows and columns of the patches.
        zero_if_isolated: whether an outlier whose neighbours are all outliers becomes zero. It is
            unchanged by default.

    Returns:
        Patches (B, P, E).
    """
    is_regular = (~outliers)[..., None].to(patches.dtype)  # (B, P, 1)
    total = sum_of_neighbours(patches * is_regular, grid)
    count = sum_of_neighbours(is_regular, grid)
    mean = total / count.clamp(min=1)
    replaced = outliers[..., None]
    return torch.where(replaced if zero_if_isolated else replaced & (count > 0), mean, patches)


def check_repairable(tower: Tower) -> None:
    """Raise an error for a tower in which outliers cannot be detected.

    Raises:
        UnsupportedModelError: if the tower has no class token or fewer than two blocks.
    """
    if tower.prefix_tokens == 0 or tower.pool_reads != "prefix":
        raise UnsupportedModelError(
            "Outlier repair compares the class token's attention with the patches', "
            "but this image tower has no class token that its image feature is read from."
        )
    if len(tower.blocks) < 2:
        raise UnsupportedModelError(
            "Outlier repair reads the attention of the second-last block, "
            f"but this image tower has {len(tower.blocks)}."
        )


def sum_of_neighbours(patches: Tensor, grid: PatchGrid) -> Tensor:
    """Return the sum of the up to eight neighbours of each patch (B, P, E), for (B, P, E)."""
    maps = grid.to_map(patches.transpose(1, 2))  # (B, E, rows, columns)
    rows, columns = grid.rows, grid.columns
    padded = pad(maps, (1, 1, 1, 1))
    total = torch.zeros_like(maps)
    for top in range(3):
        for left in range(3):
            if (top, left) != (1, 1):
                total = total + padded[..., top : top + rows, left : left + columns]
    return grid.from_map(total).transpose(1, 2)
