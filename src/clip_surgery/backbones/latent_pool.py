"""Attention pooling with learnt queries: the heads of SigLIP, PE and CoCa.

A few learnt queries attend to all tokens, and their output becomes the image feature. Such a model
is not trained to map a single token to the joint space. For patches, this library applies the head
to each token alone (docs/decisions/0007-patches-of-attention-heads.md). The attention weight of a
single token is 1, so that the result is its value, followed by the out-projection and the rest of
the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from clip_surgery.backbones.block import join_heads, split_heads
from clip_surgery.backbones.tower import TokenMap


@dataclass(frozen=True, kw_only=True, eq=False)
class LatentPool:
    """Attention of L learnt queries over all tokens.

    Attributes:
        heads: number of heads h.
        queries: returns the projected learnt queries (L, E).
        key: maps tokens (B, N, E) to keys (B, N, E).
        value: maps tokens (B, N, E) to values (B, N, E).
        finish: maps attended values (B, n, E) to the output of the head (B, n, D): the
            out-projection and the layers after it.
    """

    heads: int
    queries: Callable[[], Tensor]
    key: TokenMap
    value: TokenMap
    finish: TokenMap

    def pool(self, tokens: Tensor) -> Tensor:
        """Return the outputs of the L queries for tokens (B, N, E), (B, L, D)."""
        queries = self.queries().to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        query, key, value = (
            split_heads(part, self.heads)
            for part in (queries, self.key(tokens), self.value(tokens))
        )
        attended = scaled_dot_product_attention(query, key, value)  # (B, h, L, d)
        return self.finish(join_heads(attended))

    def pool_each_token(self, tokens: Tensor) -> Tensor:
        """Return the output of the head for each of the tokens (B, n, E) alone, (B, n, D)."""
        return self.finish(self.value(tokens))


def torch_projection(attention: nn.MultiheadAttention, part: str) -> TokenMap:
    """Return the projection of a MultiheadAttention to query, key or value.

    Args:
        attention: the attention, with one fused matrix or with separate matrices.
        part: "q", "k" or "v".
    """
    row = "qkv".index(part)

    def project(tokens: Tensor) -> Tensor:
        fused: Tensor | None = attention.in_proj_weight
        weight = getattr(attention, f"{part}_proj_weight") if fused is None else fused.chunk(3)[row]
        bias: Tensor | None = attention.in_proj_bias
        return linear(tokens, weight, None if bias is None else bias.chunk(3)[row])

    return project
