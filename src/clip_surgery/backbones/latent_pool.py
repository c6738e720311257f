"""Attention pooling with learnt queries: the heads of SigLIP, PE and CoCa.

A few learnt queries attend to all tokens, and their output becomes the image feature. Such a model
is not trained to map a single token to the joint space. For patches, this library applies the head
to each token alone (docs/decisions/0007-patches-of-attention-heads.md). The attention weight of a
single token is 1, so that the result is its value, followed by the out-projection and the rest of
the head.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from clip_surgery.backbones.block import join_heads, split_heads
from clip_surgery.backbones.tower import LatentPool, TokenMap


def pool_tokens(latent: LatentPool, tokens: Tensor) -> Tensor:
    """Return the image feature (B, D) for tokens (B, N, E) after the last block."""
    normed = latent.norm(tokens)[:, latent.first_token :]
    queries = latent.queries().to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    query, key, value = (
        split_heads(part, latent.heads)
        for part in (queries, latent.key(normed), latent.value(normed))
    )
    attended = scaled_dot_product_attention(query, key, value)  # (B, h, R, d)
    return _finish(latent, join_heads(attended)).mean(dim=1)


def pool_each_token(latent: LatentPool, tokens: Tensor) -> Tensor:
    """Return the image feature of each of the tokens (B, n, E) alone, (B, n, D)."""
    return _finish(latent, latent.value(latent.norm(tokens)))


def _finish(latent: LatentPool, attended: Tensor) -> Tensor:
    """Map attended values (B, n, E) to the joint space (B, n, D)."""
    output = latent.project_out(attended)
    if latent.feed_forward is not None:
        output = output + latent.feed_forward(output)
    return latent.to_joint(output)


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
