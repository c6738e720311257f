"""Procrustes attention: keys are rotated onto queries before they are compared.

Source: the attention of PEARL, from a description of its released code. Differences: the code
expects one image, here every image has its own rotation.

Letters: B images, h heads, N tokens, d head width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from clip_surgery.surgery.affinity import at_least_float32
from clip_surgery.surgery.attention import AttentionRule, Heads, attend


def procrustes(key_weight: float, steps: int = 5) -> AttentionRule:
    """Return PEARL's attention: softmax(s q (k R)^T + key_weight s Kc Kc^T) v.

    s is the scale of the model. Qc and Kc are queries and keys minus their means, in which a token
    counts with the length of its query, and prefix tokens do not count. R is the orthogonal matrix
    that rotates Kc onto Qc best, the polar factor of Kc^T Qc.

    Args:
        key_weight: weight of the similarity of keys with keys.
        steps: number of Newton-Schulz steps towards the polar factor (see `polar_factor`).
    """

    def rule(heads: Heads) -> Tensor:
        query, key = at_least_float32(heads.query), at_least_float32(heads.key)
        weights = query.norm(dim=-1, keepdim=True)  # (B, h, N, 1)
        weights = pad(weights[:, :, heads.prefix_tokens :], (0, 0, heads.prefix_tokens, 0))
        weights = weights / weights.sum(dim=-2, keepdim=True).clamp(min=1e-12)
        centred_query = query - (weights * query).sum(dim=-2, keepdim=True)
        centred_key = key - (weights * key).sum(dim=-2, keepdim=True)
        rotation = polar_factor(centred_key.mT @ centred_query, steps)  # (B, h, d, d)
        # Both similarities are one product of concatenated vectors, so that attention is fused.
        # Fused attention needs values of the same width.
        value, width = heads.value, heads.value.shape[-1]
        left = torch.cat([query, key_weight * centred_key], dim=-1)[:, :, heads.prefix_tokens :]
        right = torch.cat([key @ rotation, centred_key], dim=-1)
        received = attend(
            left.to(value.dtype), right.to(value.dtype), pad(value, (0, width)), scale=heads.scale
        )
        return received[..., :width]

    return rule


def polar_factor(matrix: Tensor, steps: int = 5) -> Tensor:
    """Return an approximation of the orthogonal factor M (M^T M)^(-1/2) of square matrices.

    Newton-Schulz steps X <- 1.5 X - 0.5 X X^T X start at M divided by its Frobenius norm. A step
    multiplies a singular value by at most 1.5, so that with few steps only the directions of large
    singular values become orthogonal; the published number of steps is a part of the method. The
    result for a zero matrix is zero.

    Args:
        matrix: M, (..., d, d).
        steps: number of steps.
    """
    length = matrix.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    factor: Tensor = matrix / length
    for _ in range(steps):
        factor = 1.5 * factor - 0.5 * factor @ factor.mT @ factor
    return factor
