"""Gradients of every text's score at once, and of every image's, by one vectorised backward."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from clip_surgery.errors import UnsupportedModelError

# A power of two, so scaling is exact: keeps small float16 gradients from becoming zero.
_FLOAT16_SCALE = 1024.0


def gradients_per_text(
    scores: Tensor, tensors: Sequence[Tensor], *, texts_at_a_time: int
) -> Iterator[tuple[Tensor, ...]]:
    """d scores[b, c] / d tensor[b] for scores (B, C), a few texts after each other.

    Images do not see each other, so the sum over them differentiates each by its own tensors.
    No `.grad` of any parameter is written.

    Args:
        scores: (B, C) float32, with a graph that reaches each tensor.
        tensors: each (B, ...).
        texts_at_a_time: c, the texts whose gradients are in memory together.

    Yields:
        For each group of texts, one gradient (c, B, ...) a tensor, float32.

    Raises:
        UnsupportedModelError: when no gradient passes from the scores to the tensors.
    """
    if not scores.requires_grad:
        raise UnsupportedModelError("No gradient passes through the image tower's last blocks.")
    half = any(tensor.dtype == torch.float16 for tensor in tensors)
    factor = _FLOAT16_SCALE if half else 1.0
    total = scores.sum(dim=0)  # (C,)
    wanted = factor * torch.eye(len(total), dtype=total.dtype, device=total.device)
    for rows in torch.split(wanted, texts_at_a_time):
        found = torch.autograd.grad(
            total, tuple(tensors), rows, retain_graph=True, is_grads_batched=True
        )
        yield tuple(gradient.float() / factor for gradient in found)
