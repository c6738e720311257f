"""Project tokens to query, key and value, for the layouts in which libraries store the matrices."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.tower import ProjectIn, TokenMap

Parts = tuple[Tensor, ...]


def fused_projection(tokens: Tensor, weight: Tensor, bias: Tensor | None, parts: str) -> Parts:
    """Project tokens to query, key and value with one matrix that contains all three.

    Adjacent parts are computed in one matrix product.

    Args:
        tokens: (B, N, E).
        weight: (3 E', E), the rows of query, key and value in this order.
        bias: (3 E') or None.
        parts: the wanted parts, such as "qkv", "kv" or "v".

    Returns:
        One tensor (B, N, E') per part.
    """
    start = "qkv".find(parts)
    if start < 0:  # "qv": the rows are not adjacent
        return tuple(fused_projection(tokens, weight, bias, part)[0] for part in parts)
    width = weight.shape[0] // 3
    rows = slice(start * width, (start + len(parts)) * width)
    projected = F.linear(tokens, weight[rows], None if bias is None else bias[rows])
    return projected.chunk(len(parts), dim=-1)


def separate_projections(query: TokenMap, key: TokenMap, value: TokenMap) -> ProjectIn:
    """Return a `ProjectIn` that uses one layer each for query, key and value."""
    layers = {"q": query, "k": key, "v": value}

    def project_in(tokens: Tensor, parts: str = "qkv") -> Parts:
        return tuple(layers[part](tokens) for part in parts)

    return project_in


def transform_heads(
    project_in: ProjectIn, transforms: dict[str, TokenMap], heads: int
) -> ProjectIn:
    """Return a `ProjectIn` that transforms the output of another one, head by head.

    It is used for norms of queries and keys, and for rotary positions.

    Args:
        project_in: the projection.
        transforms: for "q", "k" or "v", a map of tokens (B, N, h, d) to the same shape. Parts
            without an entry are not changed.
        heads: number of heads h.
    """

    def transformed(tokens: Tensor, parts: str = "qkv") -> Parts:
        projected = project_in(tokens, parts)
        return tuple(
            transforms[part](split_by_head(values, heads)).flatten(-2)
            if part in transforms
            else values
            for part, values in zip(parts, projected, strict=True)
        )

    return transformed


def split_by_head(tokens: Tensor, heads: int) -> Tensor:
    """Return tokens (B, N, E) as (B, N, h, d), the heads after the tokens."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1)
