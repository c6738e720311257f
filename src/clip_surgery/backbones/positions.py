"""Interpolate position embeddings to another grid of patches.

A tower is trained with one square grid of patches. For other grids its position embeddings are
interpolated. The reference code of CLIP Surgery writes the result back into the model, so that one
large image changes every later result. Here the parameter is only read.

The result is not cached: interpolation takes 0.02 % of the forward pass of ViT-B/16 at 512 px
(0.6 ms of 3 s on one core; bicubic 0.2 %), and a cache would have to notice changed weights.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.grid import PatchGrid

PositionMode = Literal["bilinear", "bicubic"]

# Since version 2.7, torch distinguishes export from compilation.
_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


def interpolate_positions(
    positions: Tensor,
    *,
    native: PatchGrid,
    grid: PatchGrid,
    prefix_tokens: int = 1,
    mode: PositionMode = "bilinear",
    antialias: bool | None = None,
) -> Tensor:
    """Return position embeddings for another grid, (K + P, E) in the same dtype.

    The embeddings of the prefix tokens are not changed. The computation is in float32 and
    differentiable. For the native grid, the embeddings themselves are returned.

    Args:
        positions: embeddings (K + P_native, E), those of the K prefix tokens first.
        native: the grid for which the embeddings were trained.
        grid: the wanted grid with P patches.
        prefix_tokens: K.
        mode: "bilinear" or "bicubic".
        antialias: whether the interpolation is antialiased. If None, it is for "bicubic" but not
            for "bilinear", as in the reference code (arXiv 2304.05653).

    Raises:
        UnknownNameError: if the mode is neither "bilinear" nor "bicubic".
        InputError: if the embeddings do not fit the native grid.

    Example:
        >>> native, wide = PatchGrid(rows=2, columns=2), PatchGrid(rows=2, columns=6)
        >>> interpolate_positions(torch.rand(5, 8), native=native, grid=wide).shape
        torch.Size([13, 8])
    """
    check_position_mode(mode)
    if positions.ndim != 2 or positions.shape[0] != prefix_tokens + native.patches:
        raise InputError(
            f"Expected position embeddings ({prefix_tokens} + {native.rows} x {native.columns}, "
            f"E), but got shape {tuple(positions.shape)}."
        )
    # An exported graph must work for every grid, so it interpolates on the native grid as well,
    # where interpolation changes nothing.
    if not _exporting() and grid == native:
        return positions
    prefix, patches = positions[:prefix_tokens], positions[prefix_tokens:]
    resized = F.interpolate(
        # A permuted view is processed channels last, much faster than a channels-first copy.
        patches.float().view(1, native.rows, native.columns, -1).permute(0, 3, 1, 2),
        size=(grid.rows, grid.columns),
        mode=mode,
        align_corners=False,
        antialias=mode == "bicubic" if antialias is None else antialias,
    )
    patches = resized[0].flatten(1).T.to(positions.dtype)  # (P, E)
    return torch.cat([prefix, patches])


def check_position_mode(mode: str) -> None:
    """Check the name of an interpolation mode.

    Raises:
        UnknownNameError: if it is neither "bilinear" nor "bicubic".
    """
    if mode not in get_args(PositionMode):
        raise UnknownNameError.among("position mode", mode, get_args(PositionMode))
