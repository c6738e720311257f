"""Propagation of class scores on a graph of patches (LPOSS).

Source: Stojnic et al., "LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary
Semantic Segmentation" (CVPR 2025, arXiv 2503.19777). The features of the graph may come from any
model; the paper takes those of DINO.

Letters: B images, P patches, F width of the features, C texts, k neighbours.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.grid import PatchGrid
from clip_surgery.refinement.conjugate_gradients import conjugate_gradients, divide_or_zero

DENSE_PATCHES = 2048
"""Largest number of patches whose graph is one (P, P) matrix per image; larger ones are sparse."""
_ROWS = 1024  # patches whose similarities are computed at a time


def propagate(
    scores: Tensor,
    features: Tensor,
    grid: PatchGrid,
    *,
    patch_size: int,
    neighbours: int = 400,
    exponent: float = 3.0,
    distance_decay: float = 0.01,
    spread: float = 0.95,
    steps: int = 10,
) -> Tensor:
    """Return the scores F of (I - spread W) F = scores, by conjugate gradients from zero.

    A patch is connected with its k nearest patches by cosine, itself included, with the weight
    max(0, cos)^exponent exp(-distance_decay pixels between them). The matrix of weights plus its
    transpose, without the diagonal, is normalised by the roots of its row sums: W.

    Args:
        scores: (B, C, P).
        features: (B, P, F), of any length.
        grid: rows and columns of the patches.
        patch_size: distance of neighbouring patches in pixels.
        neighbours: k; all patches if there are fewer. A patch counts as its own neighbour.
        exponent: power of the cosine.
        distance_decay: decay of a weight per pixel.
        spread: share of the neighbours in [0, 1). With 0 the scores are returned.
        steps: number of steps of conjugate gradients.
    """
    if spread == 0 or steps == 0:
        return scores
    work = scores.dtype if scores.dtype == torch.float64 else torch.float32
    unit = normalize(features.to(work), dim=-1)
    build = dense_graph if grid.patches <= DENSE_PATCHES else sparse_graph
    solved = []
    for image_scores, image_features in zip(scores.to(work), unit, strict=True):
        graph = build(image_features, grid, neighbours, exponent, distance_decay * patch_size)
        solved.append(solve(graph, image_scores, spread=spread, steps=steps))
    return torch.stack(solved).to(scores.dtype)


def solve(graph: Multiply, scores: Tensor, *, spread: float, steps: int) -> Tensor:
    """Return the scores (C, P) that one image has after the propagation."""

    def apply(solution: Tensor) -> Tensor:
        return solution - spread * graph(solution)

    return conjugate_gradients(apply, scores, start=torch.zeros_like(scores), steps=steps)


Multiply = Callable[[Tensor], Tensor]
"""A function of scores (C, P) that returns their product with the normalised graph (C, P)."""


def dense_graph(
    unit: Tensor, grid: PatchGrid, neighbours: int, exponent: float, decay: float
) -> Multiply:
    """Return the product with the graph of patches (P, F) of unit length, as one matrix.

    Args:
        unit: features of the patches.
        grid: rows and columns of the patches.
        neighbours: number of nearest patches, itself included.
        exponent: power of the cosine.
        decay: decay of a weight per patch of distance.
    """
    weights, nearest = nearest_patches(unit, grid, neighbours, exponent, decay)
    graph = unit.new_zeros(grid.patches, grid.patches).scatter_(1, nearest, weights)
    graph = (graph + graph.T).fill_diagonal_(0)
    root = divide_or_zero(torch.ones_like(graph[0]), graph.sum(dim=-1)).sqrt()
    graph = root[:, None] * graph * root
    return lambda scores: scores @ graph


def sparse_graph(
    unit: Tensor, grid: PatchGrid, neighbours: int, exponent: float, decay: float
) -> Multiply:
    """Return the product with the graph of `dense_graph`, of which only the edges are stored."""
    weights, nearest = nearest_patches(unit, grid, neighbours, exponent, decay)
    count = grid.patches
    rows = torch.arange(count, device=unit.device)[:, None].expand_as(nearest)
    weights = weights.masked_fill(rows == nearest, 0.0).flatten()
    rows, columns = rows.flatten(), nearest.flatten()
    total = unit.new_zeros(count).index_add_(0, rows, weights).index_add_(0, columns, weights)
    root = divide_or_zero(torch.ones_like(total), total).sqrt()
    values = root[rows] * weights * root[columns]
    both_ways = torch.stack([torch.cat([rows, columns]), torch.cat([columns, rows])])
    graph = torch.sparse_coo_tensor(
        both_ways, values.repeat(2), (count, count), check_invariants=False
    ).coalesce()
    return lambda scores: torch.sparse.mm(graph, scores.T.contiguous()).T


def nearest_patches(
    unit: Tensor, grid: PatchGrid, neighbours: int, exponent: float, decay: float
) -> tuple[Tensor, Tensor]:
    """Return the weights (P, k) and the indices (P, k) of the nearest patches of each patch."""
    index = torch.arange(grid.patches, device=unit.device)
    places = torch.stack([index // grid.columns, index % grid.columns], dim=-1).to(unit.dtype)
    count = min(neighbours, grid.patches)
    parts = []
    for start in range(0, grid.patches, _ROWS):
        rows = slice(start, start + _ROWS)
        cosines, nearest = (unit[rows] @ unit.T).topk(count, dim=-1)
        distance = (places[rows, None] - places[nearest]).norm(dim=-1)
        weights = cosines.clamp(min=0).pow(exponent) * torch.exp(-decay * distance)
        parts.append((weights, nearest))
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
