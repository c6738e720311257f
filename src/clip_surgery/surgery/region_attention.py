"""Attention within regions of an image, and the joining of similar regions.

Source: scope and value reconstruction of CorrCLIP (arXiv 2411.10086).

Letters: P patches, E width of their features, F width of the values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.surgery.affinity import at_least_float32
from clip_surgery.surgery.proxy_attention import ENTRIES


def joined_regions(patches: Tensor, regions: Tensor, *, min_cosine: float) -> Tensor:
    """Return regions in which similar ones have one number.

    Regions are joined in chains: with a and b, and b and c, a and c are one region, too.

    Args:
        patches: features of the patches (P, E).
        regions: region of each patch (P,) int64; 0 is no region, which is not joined.
        min_cosine: lowest cosine of the mean unit features of two regions that are joined. Above 1
            nothing is joined.

    Returns:
        (P,), 0 where there is no region, otherwise 1 and up without gaps.

    Example:
        >>> patches = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]])
        >>> joined_regions(patches, torch.tensor([4, 7, 9]), min_cosine=0.8)
        tensor([1, 2, 1])
    """
    numbers = torch.unique(regions)
    numbers = numbers[numbers > 0]
    joined = torch.zeros_like(regions)
    if not len(numbers):
        return joined
    members = (regions == numbers[:, None]).to(torch.float64)  # (R, P)
    unit = normalize(patches.double(), dim=-1)
    means = normalize(members.to(unit.device) @ unit, dim=-1)
    near = (means @ means.mT >= min_cosine).cpu()
    for number, group in enumerate(_chains(near), start=1):
        joined[torch.isin(regions, numbers[group])] = number
    return joined


def region_attention(
    patches: Tensor, values: Tensor, regions: Tensor, *, sharpness: float = 4.0
) -> Tensor:
    """Return softmax(sharpness S) v over the keys of a patch, S the cosines of patches.

    Keys of a patch are the patches of its region. Where a patch or its key is in no region, it is a
    key if their cosine is above the mean of S. A patch is always a key of itself.

    Args:
        patches: (P, E).
        values: v, (P, F).
        regions: region of each patch (P,) int64, 0 for none.
        sharpness: factor on the cosines.

    Returns:
        (P, F) in the dtype of the values.

    Example:
        >>> region_attention(torch.ones(3, 2), torch.eye(3), torch.tensor([1, 1, 2]))
        tensor([[0.5000, 0.5000, 0.0000],
                [0.5000, 0.5000, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    unit = normalize(at_least_float32(patches), dim=-1)
    mean = unit.mean(dim=0).square().sum()
    count = len(unit)
    step = max(1, ENTRIES // count)
    regions = regions.to(unit.device)
    itself = torch.arange(count, device=unit.device)
    received = []
    for start in range(0, count, step):
        rows = slice(start, start + step)
        cosines = unit[rows] @ unit.mT  # (rows, P)
        row_regions = regions[rows, None]
        is_key = (row_regions == regions) & (row_regions > 0)
        is_key |= ((row_regions == 0) | (regions == 0)) & (cosines > mean)
        is_key |= itself[rows, None] == itself
        weights = (sharpness * cosines).masked_fill(~is_key, -torch.inf).softmax(dim=-1)
        received.append(weights.to(values.dtype) @ values)
    return torch.cat(received)


def _chains(near: Tensor) -> list[Tensor]:
    """The connected components of a symmetric matrix of bool, each as indices."""
    left = torch.ones(len(near), dtype=torch.bool)
    groups = []
    while bool(left.any()):
        group = torch.zeros_like(left)
        group[left.nonzero()[0]] = True
        size = 0
        while int(group.sum()) > size:
            size = int(group.sum())
            group |= near[group].any(dim=0)
        groups.append(group.nonzero()[:, 0])
        left &= ~group
    return groups
