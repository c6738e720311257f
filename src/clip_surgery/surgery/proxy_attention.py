"""Attention by the affinity of a companion's patches, without a matrix of all pairs of patches.

Source: the proxy attention of ProxyCLIP (arXiv 2408.04883). For patches of unit length the mean of
all cosines is the squared length of the mean patch, so that rows can be computed in parts.

Letters: B images, P patches, E width of the patches, F width of the values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.surgery.affinity import at_least_float32

ENTRIES = 2**22
"""Largest number of affinities at a time: 16 MiB of float32."""


def proxy_attention(
    patches: Tensor, values: Tensor, *, centring: float = 1.2, sharpness: float = 3.0
) -> Tensor:
    """Return softmax(sharpness (S - centring mean(S))) v over keys where this is not negative.

    S are the cosines of patches. A patch is always a key of itself, so that a constant image, in
    which every difference is negative, keeps its values. The mean is that of one image.

    Args:
        patches: (B, P, E).
        values: v, (B, P, F).
        centring: factor on the mean.
        sharpness: factor on the difference.

    Returns:
        (B, P, F) in the dtype of the values.

    Example:
        >>> proxy_attention(torch.ones(1, 4, 2), torch.eye(4)[None]).diagonal(dim1=1, dim2=2)
        tensor([[1., 1., 1., 1.]])
    """
    unit = normalize(at_least_float32(patches), dim=-1)
    mean = unit.mean(dim=1).square().sum(dim=-1)[:, None, None]
    count = unit.shape[1]
    step = max(1, ENTRIES // (len(unit) * count))
    itself = torch.arange(count, device=unit.device)
    received = []
    for start in range(0, count, step):
        rows = unit[:, start : start + step]
        logits = sharpness * (rows @ unit.mT - centring * mean)  # (B, rows, P)
        is_key = (logits >= 0) | (itself[start : start + step, None] == itself)
        weights = logits.masked_fill(~is_key, -torch.inf).softmax(dim=-1)
        received.append(weights.to(values.dtype) @ values)
    return torch.cat(received, dim=1)
