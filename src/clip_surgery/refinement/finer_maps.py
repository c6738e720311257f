"""Resize maps to the grid of a refinement, and refine them there."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from clip_surgery.grid import PatchGrid
from clip_surgery.refinement.registry import Refinement


def refine_maps(
    maps: Tensor, colours: Tensor, refinement: Refinement, *, texts: Tensor | None = None
) -> Tensor:
    """Return maps resized to the grid of colours and refined there, float32.

    Args:
        maps: scores on the grid of patches (B, C, rows, columns).
        colours: (B, 3, h, w), red, green and blue in [0, 1].
        refinement: the refinement.
        texts: features of the texts (C, D), if they are known.

    Returns:
        (B, C, h, w).
    """
    fine = interpolate(maps.float(), size=colours.shape[-2:], mode="bilinear", align_corners=False)
    return refinement(fine, colours.to(fine), None if texts is None else texts.to(fine))


def colours_of_cells(pixels: Tensor, grid: PatchGrid) -> Tensor:
    """Return the mean colours (B, 3, h, w) of the cells of a grid in pixels (B, 3, H, W).

    Pixels that are fewer than the cells are repeated.
    """
    return adaptive_avg_pool2d(pixels, (grid.rows, grid.columns))
