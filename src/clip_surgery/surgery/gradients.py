"""Gradients of the scores of all images and texts, by one vectorised backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from clip_surgery.errors import UnsupportedModelError

# Keeps small float16 gradients from becoming zero; scaling by a power of two is exact.
_FLOAT16_SCALE = 1024.0


def gradients_per_text(
    scores: Tensor, tensors: Sequence[Tensor], *, texts_at_a_time: int
) -> Iterator[tuple[Tensor, ...]]:
    """Yield d scores[b, c] / d tensor[b] for all images b, a group of texts c at a time.

    The score of an image depends on its own tensors only. The sum of scores over images therefore
    has the same gradients as the single scores. No `.grad` of any parameter is written.

    Args:
        scores: (B, C) float32, with an autograd graph that reaches each tensor.
        tensors: tensors to differentiate by, each (B, ...).
        texts_at_a_time: number c of texts per group; their gradients are in memory together.

    Yields:
        For each group of c texts, one gradient (c, B, ...) per tensor, float32.

    Raises:
        UnsupportedModelError: if no gradient passes from the scores to the tensors.
    """
    if not scores.requires_grad:
        raise UnsupportedModelError("No gradient passes through the image tower's last blocks.")
    half = any(tensor.dtype == torch.float16 for tensor in tensors)
    factor = _FLOAT16_SCALE if half else 1.0
    total = scores.sum(dim=0)  # (C,)
    directions = factor * torch.eye(len(total), dtype=total.dtype, device=total.device)
    for rows in torch.split(directions, texts_at_a_time):
        gradients = torch.autograd.grad(
            total, tuple(tensors), rows, retain_graph=True, is_grads_batched=True
        )
        yield tuple(gradient.float() / factor for gradient in gradients)
