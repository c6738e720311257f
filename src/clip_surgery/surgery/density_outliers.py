"""Find outlier tokens by density: patches that are far from their nearest neighbours.

Source: SC-CLIP (arXiv 2411.15869). The released code computes a ratio of squared distances to the
k-th neighbour, not the textbook local outlier factor; the same ratio is used here. Its code expects
one image; here every image has its own outliers.

Letters: B images, P patches, E tower width.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from clip_surgery.surgery.affinity import at_least_float32


def find_sparse_patches(patches: Tensor, *, neighbours: int = 30, share: float = 0.05) -> Tensor:
    """Return which patches are outliers by their density, (B, P) bool.

    With r(p) the squared distance of patch p to its k-th nearest patch, the score of a patch is the
    mean of r(p) / r(o) over its k nearest patches o. The patches with the highest scores are
    outliers. In a constant image all scores are 1, and there is no outlier.

    Args:
        patches: (B, P, E).
        neighbours: k, at least 1; P - 1 if there are fewer other patches.
        share: share of the patches that are outliers, in [0, 1]. As in the released code, a patch
            is an outlier if its score exceeds the (1 - share) quantile of the P scores, which is
            interpolated linearly.

    Returns:
        (B, P) bool, without an outlier if there is one patch only.
    """
    count = patches.shape[1]
    nearest = min(neighbours, count - 1)
    if nearest < 1:
        return torch.zeros(patches.shape[:2], dtype=torch.bool, device=patches.device)
    scores = sparsity(patches, nearest)
    position = (1 - share) * (count - 1)  # of the quantile among the sorted scores
    lower = min(math.floor(position), count - 1)
    ordered = scores.sort(dim=-1).values
    low, high = ordered[:, lower], ordered[:, min(lower + 1, count - 1)]
    quantile = low + (position - lower) * (high - low)
    margin = 1e-6 * quantile  # scores that differ by rounding only are equal
    return scores > (quantile + margin)[:, None]


def sparsity(patches: Tensor, neighbours: int) -> Tensor:
    """Return the mean of r(p) / r(o) over the nearest patches o of each patch p, (B, P).

    Args:
        patches: (B, P, E).
        neighbours: number of nearest patches, in [1, P - 1].
    """
    patches = at_least_float32(patches)
    nearest = squared_distances(patches).topk(neighbours + 1, largest=False)
    rounding = 1e-10 * patches.square().sum(dim=-1).mean(dim=1, keepdim=True) + 1e-30  # (B, 1)
    radius = nearest.values[..., -1].maximum(rounding)  # (B, P)
    others = nearest.indices[..., 1:]  # without the patch itself, (B, P, k)
    of_others = radius.gather(1, others.flatten(1)).view(others.shape)
    return (radius[..., None] / of_others).mean(dim=-1)


def squared_distances(patches: Tensor) -> Tensor:
    """Return the squared distances of all pairs of patches (B, P, P), with a diagonal of -1.

    The negative diagonal makes a patch its own nearest one also if others are equal to it.
    """
    centred = patches - patches.mean(dim=1, keepdim=True)  # smaller numbers lose fewer digits
    lengths = centred.square().sum(dim=-1)
    distances = lengths[:, :, None] + lengths[:, None] - 2 * centred @ centred.mT
    itself = torch.eye(patches.shape[1], dtype=torch.bool, device=patches.device)
    return distances.clamp(min=0).masked_fill(itself, -1)
