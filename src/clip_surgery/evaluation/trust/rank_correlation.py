"""Rank correlation of two signed maps."""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.surgery.min_max import is_flat


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Return Spearman's correlation of two maps in [-1, 1]; 0 if one of them is flat.

    Values keep their sign: absolute values would correlate by chance (arXiv 1810.03292). Equal
    values have the mean of their ranks.

    Args:
        first: scores of any shape.
        second: scores of the same number.

    Example:
        >>> round(rank_correlation(torch.tensor([1.0, 2, 3]), torch.tensor([-1.0, 5, 9])), 6)
        1.0
    """
    flat = [
        bool(is_flat(values.min(), values.max())) or values.numel() < 2
        for values in (first, second)
    ]
    if any(flat):
        return 0.0
    ranks = torch.stack([_mean_ranks(first.flatten()), _mean_ranks(second.flatten())])
    centred = ranks - ranks.mean(dim=1, keepdim=True)
    length = centred.norm(dim=1).prod()
    return float((centred[0] @ centred[1] / length).clamp(-1, 1))


def _mean_ranks(values: Tensor) -> Tensor:
    """Return the ranks of values (n,) from 0 on, in float64; equal values share their mean rank."""
    _, group, counts = torch.unique(values.double(), return_inverse=True, return_counts=True)
    ranks: Tensor = (2 * counts.cumsum(0) - counts - 1).double() / 2
    return ranks.index_select(0, group)
