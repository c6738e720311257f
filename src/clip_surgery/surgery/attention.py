"""Attention rules: how patches attend in the second path, in which the dense methods differ.

Source: CLIP Surgery (arXiv 2304.05653) for value-value, MaskCLIP (2112.01071) for identity, SCLIP
(2312.01597) for sums, GEM (2312.00878) and NACLIP (2404.08181) for the rules of that name. A rule
takes query, key and value of one block and returns the attention output of the patches. Rules use
PyTorch's scaled_dot_product_attention, so that no attention matrix is stored. Letters: B batch, h
heads, N tokens, d head width, E = h d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import normalize, pad, scaled_dot_product_attention

from clip_surgery.grid import PatchGrid


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """Query, key and value of one block, and other values that attention rules use.

    Attributes:
        query: (B, h, N, d).
        key: (B, h, N, d).
        value: (B, h, N, d).
        normed: the input tokens of the block after its norm (B, N, E).
        scale: the model's factor on q k^T before the softmax.
        prefix_tokens: number of tokens before the patches.
        grid: rows and columns of the patches.
        seen: what a walk has kept of the blocks up to this one; empty unless the walk was asked
            to keep something (see `surgery.watch`).
    """

    query: Tensor
    key: Tensor
    value: Tensor
    normed: Tensor
    scale: float
    prefix_tokens: int
    grid: PatchGrid
    seen: Seen = field(default_factory=lambda: Seen(tokens={}, heads={}, levels=None))


@dataclass(kw_only=True, eq=False)
class Seen:
    """What a walk has kept of the original path. Blocks are counted from 1.

    Attributes:
        tokens: output tokens (B, N, E) by the number of the block; 0 is before the first block.
        heads: query, key and value by the number of the block.
        levels: sum of the output tokens of a range of blocks (B, N, E), or None.
        blocks: number of blocks of the tower.
    """

    tokens: dict[int, Tensor]
    heads: dict[int, Heads]
    levels: Tensor | None
    blocks: int = 0


AttentionRule = Callable[[Heads], Tensor]
"""A function from heads to the attention output of the patches (B, h, P, d).

Prefix tokens may be keys, but have no output.
"""


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """Return softmax(scale q k^T) v, (B, h, n, d), for q (B, h, n, d), k and v (B, h, N, d)."""
    return scaled_dot_product_attention(query, key, value, scale=scale)


def query_key(heads: Heads) -> Tensor:
    """Return the model's own attention, softmax(scale q k^T) v, for the patches."""
    patches = heads.query[:, :, heads.prefix_tokens :]
    return attend(patches, heads.key, heads.value, scale=heads.scale)


def value_value(heads: Heads) -> Tensor:
    """Return consistent self-attention softmax(scale v v^T) v, the rule of CLIP Surgery.

    A patch attends to patches with similar values, which belong to similar content.
    """
    patches = heads.value[:, :, heads.prefix_tokens :]
    return attend(patches, heads.value, heads.value, scale=heads.scale)


def sharp_value_value(heads: Heads) -> Tensor:
    """Return softmax(8 s unit(v) unit(v)^T) v, for the attention pool of a ResNet.

    s is the scale of the model and unit(v) are values of unit length. The pool is the only
    attention of the tower, for which the paper uses a higher scale (arXiv 2304.05653).
    """
    unit = normalize(heads.value, dim=-1)
    patches = unit[:, :, heads.prefix_tokens :]
    return attend(patches, unit, heads.value, scale=8 * heads.scale)


def query_query(heads: Heads) -> Tensor:
    """Return softmax(scale q q^T) v for the patches."""
    patches = heads.query[:, :, heads.prefix_tokens :]
    return attend(patches, heads.query, heads.value, scale=heads.scale)


def key_key(heads: Heads) -> Tensor:
    """Return softmax(scale k k^T) v for the patches."""
    patches = heads.key[:, :, heads.prefix_tokens :]
    return attend(patches, heads.key, heads.value, scale=heads.scale)


def identity(heads: Heads) -> Tensor:
    """Return the value of each patch, that is, attention with the identity matrix."""
    return heads.value[:, :, heads.prefix_tokens :]


def summed(*rules: AttentionRule) -> AttentionRule:
    """Return a rule whose output is the sum of the outputs of several rules."""

    def rule(heads: Heads) -> Tensor:
        received = rules[0](heads)
        for other in rules[1:]:
            received = received + other(heads)
        return received

    return rule


def mean_of(*rules: AttentionRule) -> AttentionRule:
    """Return a rule whose output is the mean of the outputs of several rules."""
    total = summed(*rules)
    return lambda heads: total(heads) / len(rules)


def grounding(iterations: int, sharpness: float = 1.0) -> AttentionRule:
    """Return GEM's attention: the mean of three self-self attentions of clustered points.

    For each P of query, key and value, with unit(P) of unit length,

        P <- unit(P), then `iterations` times P <- unit(softmax(t P P^T) P)

    and the output is softmax(t P P^T) v. The temperature t is the scale of the model times the mean
    length of the normed tokens of the image times `sharpness`.

    Args:
        iterations: number of clustering steps.
        sharpness: factor on the temperature.
    """

    def rule(heads: Heads) -> Tensor:
        norm = heads.normed.float().norm(dim=-1).mean(dim=-1)  # (B,)
        temperature = sharpness * heads.scale * norm
        temperature = temperature.to(heads.value.dtype).view(-1, 1, 1, 1)
        received = torch.zeros_like(identity(heads))
        for part in (heads.query, heads.key, heads.value):
            points = normalize(part, dim=-1)  # (B, h, N, d)
            for _ in range(iterations):
                moved = attend(temperature * points, points, points, scale=1.0)
                points = normalize(moved, dim=-1)
            patches = temperature * points[:, :, heads.prefix_tokens :]
            received = received + attend(patches, points, heads.value, scale=1.0)
        return received / 3

    return rule


def neighbourhood(std: float) -> AttentionRule:
    """Return NACLIP's attention: softmax(scale k k^T + w) v, with a bias w towards neighbours.

    w_ij = exp(-distance^2 / (2 std^2)) for two patches, and 0 for a patch and a prefix token.

    Args:
        std: standard deviation of the Gaussian, in patches.
    """

    def rule(heads: Heads) -> Tensor:
        return biased_key_key(gaussian_bumps(heads.grid, std))(heads)

    return rule


def biased_key_key(bias: Tensor, *, sharpness: float = 1.0) -> AttentionRule:
    """Return the rule softmax(sharpness scale k k^T + bias) v.

    Args:
        bias: (P, P) or (B, P, P); it is 0 for a patch and a prefix token.
        sharpness: factor on the similarity of keys.
    """

    def rule(heads: Heads) -> Tensor:
        patches = heads.key[:, :, heads.prefix_tokens :]
        with_prefix = pad(bias.to(patches), (heads.prefix_tokens, 0))
        if with_prefix.ndim == 3:
            with_prefix = with_prefix[:, None]  # the same for all heads
        return scaled_dot_product_attention(
            patches, heads.key, heads.value, attn_mask=with_prefix, scale=sharpness * heads.scale
        )

    return rule


def gaussian_bumps(grid: PatchGrid, std: float) -> Tensor:
    """Return exp(-distance^2 / (2 std^2)) for all pairs of patches of a grid, (P, P).

    Distances and `std` are in patches.
    """
    down, across = (
        torch.exp(-(steps[:, None] - steps).square() / (2 * std**2))
        for steps in (torch.arange(grid.rows), torch.arange(grid.columns))
    )
    # The Kronecker product. `torch.kron` would fix the grid when a tower is traced for export.
    both = down[:, None, :, None] * across[None, :, None, :]
    return both.flatten(2).flatten(0, 1)


VALUES_ONLY: frozenset[AttentionRule] = frozenset({value_value, sharp_value_value, identity})
"""Rules that use values only; queries of patches are not computed for them."""
