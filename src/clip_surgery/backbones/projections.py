"""Query, key and value out of the layouts that libraries keep their matrices in."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.tower import ProjectIn, TokenMap

Parts = tuple[Tensor, ...]


def fused_projection(tokens: Tensor, weight: Tensor, bias: Tensor | None, parts: str) -> Parts:
    """Project tokens (B, N, E) to the named parts with one matrix (3 E', E) for all of them.

    One matrix product where the rows of the parts lie together.
    """
    start = "qkv".find(parts)
    if start < 0:  # "qv": the rows lie apart
        return tuple(fused_projection(tokens, weight, bias, part)[0] for part in parts)
    width = weight.shape[0] // 3
    rows = slice(start * width, (start + len(parts)) * width)
    projected = F.linear(tokens, weight[rows], None if bias is None else bias[rows])
    return projected.chunk(len(parts), dim=-1)


def separate_projections(query: TokenMap, key: TokenMap, value: TokenMap) -> ProjectIn:
    """A layer each for query, key and value."""
    layers = {"q": query, "k": key, "v": value}

    def project_in(tokens: Tensor, parts: str = "qkv") -> Parts:
        return tuple(layers[part](tokens) for part in parts)

    return project_in


def changed_by_head(project_in: ProjectIn, changes: dict[str, TokenMap], heads: int) -> ProjectIn:
    """What `project_in` gives, with parts changed head by head, tokens (B, N, h, d).

    Norms of queries and keys, and rotary positions, are such changes.
    """

    def changed(tokens: Tensor, parts: str = "qkv") -> Parts:
        projected = project_in(tokens, parts)
        return tuple(
            changes[part](by_head(values, heads)).flatten(-2) if part in changes else values
            for part, values in zip(parts, projected, strict=True)
        )

    return changed


def by_head(tokens: Tensor, heads: int) -> Tensor:
    """(B, N, E) to (B, N, h, d)."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1)
