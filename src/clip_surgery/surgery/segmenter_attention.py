"""Aggregate patches by the attention of a segmenter, for pairs of patches with similar values.

Source: the correlation matrix of Trident (arXiv 2411.09219): attention of SAM where the cosine of
its values exceeds the mean by a factor, averaged over heads and normalised. The weights are
computed for some rows at a time.

Letters: P cells of the segmenter, h heads, d head width, F width of the patches.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.errors import InputError
from clip_surgery.segmenters.image_attention import ImageAttention
from clip_surgery.surgery.affinity import at_least_float32
from clip_surgery.surgery.proxy_attention import ENTRIES


def segmenter_attention(
    attention: ImageAttention, patches: Tensor, *, centring: float = 1.2, highest: float = 0.9
) -> Tensor:
    """Return the mean of patches, weighted by the attention of a segmenter.

    In each head, keys are the cells whose values have a cosine with those of the query above
    min(centring mean, highest), the mean of all cosines of the head, and the cell itself. The mean
    of the heads is divided by its sum. A query whose weights are all 0 keeps its own patch.

    Args:
        attention: the attention of the segmenter for one image.
        patches: (P, F), on the grid of the segmenter.
        centring: factor on the mean cosine.
        highest: upper bound of the threshold.

    Returns:
        (P, F) in the dtype of the patches.

    Raises:
        InputError: if the weights of the segmenter have another shape.

    Example:
        >>> from clip_surgery.grid import PatchGrid
        >>> weights = torch.tensor([[[0.5, 0.3, 0.2]] * 3])
        >>> attention = ImageAttention(
        ...     grid=PatchGrid(rows=1, columns=3),
        ...     values=torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]]),
        ...     weights=lambda queries: weights[:, queries],
        ... )
        >>> segmenter_attention(attention, torch.eye(3))
        tensor([[0.6250, 0.3750, 0.0000],
                [0.6250, 0.3750, 0.0000],
                [0.0000, 0.0000, 1.0000]])
    """
    values = attention.values.to(patches.device)
    unit = normalize(at_least_float32(values), dim=-1)
    mean = unit.mean(dim=1).square().sum(dim=-1)  # (h,)
    threshold = (centring * mean).clamp(max=highest)[:, None, None]
    heads, count = unit.shape[:2]
    step = max(1, ENTRIES // (heads * count))
    identity = torch.arange(count, device=unit.device)
    received = []
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        weights = attention.weights(rows).to(unit)
        if tuple(weights.shape) != (heads, rows.stop - start, count):
            raise InputError(
                f"Expected weights {(heads, rows.stop - start, count)} of the segmenter, "
                f"but got {tuple(weights.shape)}."
            )
        itself = identity[rows, None] == identity
        is_key = (unit[:, rows] @ unit.mT > threshold) | itself
        mixed = torch.where(is_key, weights, 0).mean(dim=0)  # (rows, P)
        mixed = torch.where(mixed.sum(dim=-1, keepdim=True) == 0, itself.to(mixed), mixed)
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        received.append(mixed.to(patches.dtype) @ patches)
    return torch.cat(received)
