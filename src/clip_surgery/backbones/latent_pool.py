"""Pooling by learnt queries: the attention heads of SigLIP, PE and CoCa.

A few learnt queries attend to all tokens, and what they receive becomes the image feature. Nothing
in such a model is trained to bring a single token to the joint space, so the way for the patches
has to be chosen (docs/decisions/0007-patches-of-attention-heads.md): the head applied to one token
alone. Attention over one token is 1, so this is its value, the out-projection and all that follows.
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
        heads: number of heads.
        queries: the projected learnt queries (L, E).
        key: tokens (B, N, E) to their keys.
        value: tokens (B, N, E) to their values.
        finish: what was received (B, n, E) to the head's output (B, n, D): the out-projection
            and what comes behind it.
    """

    heads: int
    queries: Callable[[], Tensor]
    key: TokenMap
    value: TokenMap
    finish: TokenMap

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, E) to what the queries make of them (B, L, D)."""
        queries = self.queries().to(tokens.dtype).expand(tokens.shape[0], -1, -1)
        query, key, value = (
            split_heads(part, self.heads)
            for part in (queries, self.key(tokens), self.value(tokens))
        )
        received = scaled_dot_product_attention(query, key, value)  # (B, h, L, d)
        return self.finish(join_heads(received))

    def each(self, tokens: Tensor) -> Tensor:
        """Tokens (B, n, E) to what the head makes of each alone (B, n, D)."""
        return self.finish(self.value(tokens))


def torch_part(attention: nn.MultiheadAttention, part: str) -> TokenMap:
    """One of q, k, v of a torch MultiheadAttention, whichever layout its matrices have."""
    row = "qkv".index(part)

    def project(tokens: Tensor) -> Tensor:
        fused: Tensor | None = attention.in_proj_weight
        weight = getattr(attention, f"{part}_proj_weight") if fused is None else fused.chunk(3)[row]
        bias: Tensor | None = attention.in_proj_bias
        return linear(tokens, weight, None if bias is None else bias.chunk(3)[row])

    return project
