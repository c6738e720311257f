"""Refinement of class maps by the attention between patches, as a random walk.

Source: FreeCP (Chen et al., "Training-free Class Purification for Open-Vocabulary Semantic
Segmentation", ICCV 2025), after CLIP-ES (CVPR 2023, arXiv 2212.09506). The mean attention is made
doubly stochastic by Sinkhorn steps, symmetric, and squared, and carries maps from the boxes of a
class to all patches.

Letters: B images, C texts, P patches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.grid import PatchGrid
from clip_surgery.refinement.boxes_of_maps import box_masks
from clip_surgery.surgery.min_max import rescale

BOX_LEVEL = 0.4
"""Boxes are those of the parts of a map that reach this share of its maximum."""


def transitions(attention: Tensor, *, sinkhorn_steps: int = 3, squarings: int = 1) -> Tensor:
    """Return the transition matrix (B, P, P) of a random walk by attention (B, P, P).

    Columns and rows are normalised in turn, the matrix is made symmetric and squared.

    Args:
        attention: attention between patches, not negative.
        sinkhorn_steps: number of normalisations of columns and rows.
        squarings: how often the matrix is multiplied by itself.
    """
    matrix = attention
    for _ in range(sinkhorn_steps):
        matrix = matrix / matrix.sum(dim=-2, keepdim=True).clamp(min=1e-12)
        matrix = matrix / matrix.sum(dim=-1, keepdim=True).clamp(min=1e-12)
    matrix = (matrix + matrix.mT) / 2
    for _ in range(squarings):
        matrix = matrix @ matrix
    return matrix


def walk_within_boxes(maps: Tensor, walk: Tensor, grid: PatchGrid) -> Tensor:
    """Return maps after one step of a random walk from the patches in their boxes, min-maxed.

    Args:
        maps: (B, C, P), not negative.
        walk: transition matrices (B, P, P).
        grid: rows and columns of the patches.

    Returns:
        (B, C, P) in [0, 1]; a map that is constant after the step is zero.
    """
    highest = maps.amax(dim=-1, keepdim=True)
    parts = grid.to_map(maps >= BOX_LEVEL * highest)  # (B, C, rows, columns)
    inside = grid.from_map(box_masks(parts.flatten(0, 1))).view_as(maps)
    walked = (maps * inside) @ walk.mT
    return rescale(walked, walked.amin(dim=-1, keepdim=True), walked.amax(dim=-1, keepdim=True))


def min_max_of_all(maps: Tensor) -> Tensor:
    """Return maps (B, C, P) scaled by the lowest and highest value of each image; zero if equal."""
    lowest, highest = torch.aminmax(maps.flatten(1), dim=1)
    return rescale(maps, lowest[:, None, None], highest[:, None, None])
