"""Affinities of patches: cosines of the tokens of one block, and kernels that make them weights.

Source: the kernels of ProxyCLIP (arXiv 2408.04883), SC-CLIP (2411.15869) and SFP (ICCV 2025).
Means are those of one image, where the released codes take the mean of the whole batch. The
diagonal always has a weight, so that no patch is without any.

Letters: B images, P patches, E tower width, h heads, d head width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.backbones.block import join_heads, split_heads
from clip_surgery.surgery.attention import AttentionRule, Heads


def patch_cosines(patches: Tensor) -> Tensor:
    """Return the cosines of all pairs of patches (B, P, P) in float32 or more, for (B, P, E).

    A patch that is zero has cosine 0 with every patch.
    """
    unit = normalize(at_least_float32(patches), dim=-1)
    return unit @ unit.mT


def cut_below(cosines: Tensor, threshold: float) -> Tensor:
    """Return cosines (B, P, P) with those below the threshold set to 0."""
    return torch.where(cosines >= threshold, cosines, 0)


def centred_softmax(affinity: Tensor, *, centring: float = 1.0, sharpness: float = 3.0) -> Tensor:
    """Return the softmax of sharpness (S - centring mean(S)), over keys where it is not negative.

    Args:
        affinity: S, (B, P, P).
        centring: factor on the mean of each image.
        sharpness: factor on the difference.

    Returns:
        Weights (B, P, P) whose rows sum to 1. Keys with a negative difference have weight 0,
        except the patch itself.
    """
    mean = affinity.mean(dim=(-2, -1), keepdim=True)
    logits = sharpness * (affinity - centring * mean)
    itself = torch.eye(affinity.shape[-1], dtype=torch.bool, device=affinity.device)
    return logits.masked_fill((logits < 0) & ~itself, -torch.inf).softmax(dim=-1)


def smooth(patches: Tensor, affinity: Tensor) -> Tensor:
    """Return patches (B, P, E), each the mean of all patches weighted by its affinity (B, P, P).

    The sum of the weights is increased by 1e-6, as in the released codes, so that a patch without
    any affinity becomes 0.
    """
    total = affinity.sum(dim=-1, keepdim=True) + 1e-6
    return (affinity / total).to(patches.dtype) @ patches


def weighted_by(weights: Tensor) -> AttentionRule:
    """Return the rule by which patches receive their values, weighted by the same matrix per head.

    Args:
        weights: (B, P, P); row i has the weights of the keys of patch i.
    """

    def rule(heads: Heads) -> Tensor:
        values = join_heads(heads.value[:, :, heads.prefix_tokens :])  # (B, P, E)
        return split_heads(weights.to(values.dtype) @ values, heads.value.shape[1])

    return rule


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return the tensor in float32 if it has half precision, and unchanged otherwise."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
