"""Attention between any two of query, key and value: the one thing that dense methods change.

Source: CLIP Surgery (arXiv 2304.05653) for value-value, MaskCLIP (2112.01071) for identity,
SCLIP (2312.01597) for sums, GEM (2312.00878) and NACLIP (2404.08181) for the rules of that name.
A rule sees the projected heads of one block and returns what each asked-for token receives; no
rule builds an attention matrix where PyTorch's scaled_dot_product_attention can do without.
Letters: B batch, h heads, N tokens, d head width, E = h d.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention

from clip_surgery.grid import PatchGrid


@dataclass(frozen=True, kw_only=True, eq=False)
class Heads:
    """Query, key and value of one block, and the other facts that attention rules use.

    Attributes:
        query: (B, h, N, d).
        key: (B, h, N, d).
        value: (B, h, N, d).
        normed: the tokens after the block's norm (B, N, E), input of the projections.
        scale: the model's factor on q k^T before the softmax.
        prefix_tokens: number of tokens before the patches.
        grid: rows and columns of the patches.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    normed: Tensor
    scale: float
    prefix_tokens: int
    grid: PatchGrid


AttentionRule = Callable[[Heads], Tensor]
"""Heads to the attended patches (B, h, P, d). Prefix tokens may be keys, but have no output."""


def attend(query: Tensor, key: Tensor, value: Tensor, *, scale: float) -> Tensor:
    """softmax(scale q k^T) v for q (B, h, n, d), k and v (B, h, N, d): (B, h, n, d)."""
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
    """softmax(8 s unit(v) unit(v)^T) v, for a ResNet's attention pool.

    It is the tower's only attention, so the paper has a sharper one (arXiv 2304.05653).
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


def grounding(iterations: int, sharpness: float = 1.0) -> AttentionRule:
    """GEM's attention: q, k and v each cluster by themselves, then gather the values.

    For P in (q, k, v): P <- unit(P); `iterations` times P <- unit(softmax(t P P^T) P); then
    softmax(t P P^T) v; the mean of the three. The temperature t is the model's scale times the
    mean norm of the normed tokens, one number an image, times `sharpness`.
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
    """NACLIP's attention: softmax(scale k k^T + w) v, w a Gaussian bump around each patch.

    w_ij = exp(-distance^2 / (2 std^2)) with distances in patches; 0 towards prefix tokens.
    """

    def rule(heads: Heads) -> Tensor:
        patches = heads.key[:, :, heads.prefix_tokens :]
        bump = torch.cat(
            [
                patches.new_zeros(heads.grid.patches, heads.prefix_tokens),
                gaussian_bumps(heads.grid, std).to(patches),
            ],
            dim=1,
        )
        return scaled_dot_product_attention(
            patches, heads.key, heads.value, attn_mask=bump, scale=heads.scale
        )

    return rule


def gaussian_bumps(grid: PatchGrid, std: float) -> Tensor:
    """exp(-distance^2 / (2 std^2)) between all patches of a grid, in patches: (P, P)."""
    down, across = (
        torch.exp(-(steps[:, None] - steps).square() / (2 * std**2))
        for steps in (torch.arange(grid.rows), torch.arange(grid.columns))
    )
    return torch.kron(down, across)


VALUES_ONLY: frozenset[AttentionRule] = frozenset({value_value, sharp_value_value, identity})
"""Rules that use values only, so that queries and keys of patches need not be computed for them."""
