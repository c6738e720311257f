"""Conjugate gradients for many symmetric systems at a time, with a fixed number of steps.

The published methods stop after a few steps, before the solution is exact, so that the number of
steps is one of their settings.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def conjugate_gradients(
    apply: Callable[[Tensor], Tensor], right: Tensor, *, start: Tensor, steps: int
) -> Tensor:
    """Return approximate solutions of A x = right after a number of steps.

    Every row of the last dimension is a system of its own. A row whose residual is zero, or whose
    curvature is not positive, is left as it is, so that no result is NaN.

    Args:
        apply: returns A x for x of the shape of `right`; A is symmetric and positive definite.
        right: the right-hand sides (..., n).
        start: the first guess (..., n).
        steps: number of steps, 0 or more.

    Example:
        >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
        >>> right = torch.tensor([[3.0, 4.0]])
        >>> conjugate_gradients(
        ...     lambda x: x @ matrix, right, start=torch.zeros(1, 2), steps=2
        ... ).round(decimals=4).tolist()
        [[1.0, 1.0]]
    """
    solution = start
    residual = right - apply(start)
    direction = residual
    energy = residual.square().sum(dim=-1, keepdim=True)
    for _ in range(steps):
        applied = apply(direction)
        curvature = (direction * applied).sum(dim=-1, keepdim=True)
        length = divide_or_zero(energy, curvature)
        solution = torch.addcmul(solution, length, direction)
        residual = torch.addcmul(residual, length, applied, value=-1)
        next_energy = residual.square().sum(dim=-1, keepdim=True)
        direction = torch.addcmul(residual, divide_or_zero(next_energy, energy), direction)
        energy = next_energy
    return solution


def divide_or_zero(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Return numerator / denominator, and 0 where the denominator is not positive."""
    tiny = torch.finfo(denominator.dtype).tiny
    positive = denominator > tiny
    return torch.where(positive, numerator / denominator.clamp(min=tiny), 0.0)
