"""The matrices of maps that are linear once the statistics of their norms are kept.

No knowledge of the norm is needed. For long vectors, the output of a norm depends on their
direction only, so that the outputs for the unit vectors are the rows of a matrix M, up to one
factor; the factor of a token follows from its own output. Every map is compared with its own
output, so that maps of other kinds are found.

Letters: n tokens, E input width, D output width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.tower import TokenMap

_LONG = 1e4  # length at which the constant that norms add to the variance has no effect


@dataclass(frozen=True, kw_only=True, eq=False)
class FrozenMap:
    """A map x -> factor * x @ matrix + bias, with one factor per token, all float32.

    Attributes:
        matrix: (E, D).
        bias: (D,).
        factors: (n,), the factor of each token for which the map was read.
        exact: whether the map gives what the function gives for these tokens.
    """

    matrix: Tensor
    bias: Tensor
    factors: Tensor
    exact: bool


def freeze(function: TokenMap, tokens: Tensor) -> FrozenMap:
    """Return a function, a norm and an affine map in any order, as a `FrozenMap`.

    Args:
        function: maps tokens (1, n, E) to (1, n, D), each token alone.
        tokens: the tokens (n, E) at which the statistics of the norm are kept.

    Example:
        >>> layer = torch.nn.Linear(3, 2)
        >>> frozen = freeze(layer, torch.ones(4, 3))
        >>> read = frozen.factors[0] * frozen.matrix
        >>> frozen.exact, bool(torch.allclose(read, layer.weight.T, atol=1e-5))
        (True, True)
    """
    matrix, bias = linear_part(function, tokens)
    expected = function(tokens[None])[0].float()
    factors = fitted_factors(tokens, expected, matrix, bias)
    output = factors[:, None] * (tokens.float() @ matrix) + bias
    return FrozenMap(
        matrix=matrix,
        bias=bias,
        factors=factors,
        exact=is_close(output, expected, rounding_tolerance(tokens)),
    )


def linear_part(function: TokenMap, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Return the matrix (E, D) of a function up to a factor, and its bias (D,).

    Args:
        function: a norm and an affine map.
        tokens: any tokens (..., E), for width, device and dtype.
    """
    unit = torch.eye(tokens.shape[-1], device=tokens.device, dtype=tokens.dtype)
    outputs = function(torch.cat([torch.zeros_like(unit[:1]), _LONG * unit])[None])[0].float()
    return outputs[1:] - outputs[0], outputs[0]


def fitted_factors(tokens: Tensor, outputs: Tensor, matrix: Tensor, bias: Tensor) -> Tensor:
    """Return the factor (n,) of each token for which factor * token M is its output - bias."""
    linear = tokens.float() @ matrix
    squares = linear.square().sum(dim=-1)
    return (linear * (outputs - bias)).sum(dim=-1) / squares.clamp_min(1e-30)


def rounding_tolerance(tokens: Tensor) -> float:
    """Return the largest rounding error of a sum, as a fraction of its length."""
    return 1e-4 if tokens.dtype in {torch.float32, torch.float64} else 3e-2


def is_close(first: Tensor, second: Tensor, tolerance: float) -> bool:
    """Whether two tensors differ by at most a fraction of the length of the second."""
    return bool((first - second).norm() <= tolerance * second.norm().clamp_min(1e-12))
