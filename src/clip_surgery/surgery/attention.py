"""Attention between any two of query, key and value: the one thing that dense methods change.

Source: CLIP Surgery (arXiv 2304.05653) for value-value, MaskCLIP (2112.01071) for identity.
A rule sees the projected heads of one block and returns what each asked-for token receives; no
rule builds an attention matrix where PyTorch's scaled_dot_product_attention can do without.
Letters: B batch, h heads, N tokens, d head width, E = h d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from clip_surgery.grid import PatchGrid


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """Query, key and value of one block, each (B, h, N, d), and what a rule may need beside.

    Attributes:
        normed: the normed tokens (B, N, E) that the projections were made from.
        scale: the model's own factor on q k^T.
        prefix_tokens: tokens before the patches.
        grid: how the patches lie.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    normed: Tensor
    scale: float
    prefix_tokens: int
    grid: PatchGrid


# Heads to the attended patches (B, h, P, d); prefix tokens may serve as keys but get no row.
AttentionRule = Callable[[Heads], Tensor]


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """(B, N, E) to (B, h, N, d)."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(1, 2)


def join_heads(heads: Tensor) -> Tensor:
    """(B, h, N, d) to (B, N, E)."""
    return heads.transpose(1, 2).flatten(2)


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """softmax(scale q k^T) v for q (B, h, n, d), k and v (B, h, N, d): (B, h, n, d)."""
    return scaled_dot_product_attention(query, key, value, scale=scale)


def query_key(heads: Heads) -> Tensor:
    """The model's own attention, for the patches."""
    patches = heads.query[:, :, heads.prefix_tokens :]
    return attend(patches, heads.key, heads.value, scale=heads.scale)


def value_value(heads: Heads) -> Tensor:
    """Consistent self-attention A(v, v) v: a patch gathers from patches that carry the same."""
    patches = heads.value[:, :, heads.prefix_tokens :]
    return attend(patches, heads.value, heads.value, scale=heads.scale)


def query_query(heads: Heads) -> Tensor:
    """A(q, q) v."""
    patches = heads.query[:, :, heads.prefix_tokens :]
    return attend(patches, heads.query, heads.value, scale=heads.scale)


def key_key(heads: Heads) -> Tensor:
    """A(k, k) v."""
    patches = heads.key[:, :, heads.prefix_tokens :]
    return attend(patches, heads.key, heads.value, scale=heads.scale)


def identity(heads: Heads) -> Tensor:
    """Each patch keeps its own value: attention with the identity matrix."""
    return heads.value[:, :, heads.prefix_tokens :]
