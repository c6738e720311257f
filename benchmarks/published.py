"""The two-path walk with attention matrices in memory, as in published implementations.

Written from the formulas of CLIP Surgery (arXiv 2304.05653), with the structure of released code:
each of the last blocks computes both attention matrices, runs both paths on all tokens through
separate output projections, and runs the whole feed-forward network, also in the last block. It is
the baseline of speed comparisons and gives the same numbers as `walk_two_paths`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def materialised_two_paths(visual: Any, pixels: Tensor, *, depth: int = 6) -> tuple[Tensor, Tensor]:
    """Return image features (B, D) and patch features (B, P, D) of an open_clip tower."""
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    original = visual.ln_pre(torch.cat([first, patches], dim=1) + visual.positional_embedding)
    blocks = list(visual.transformer.resblocks)
    split = max(0, len(blocks) - depth)
    for block in blocks[:split]:
        original = block(original)
    new = original
    for block in blocks[split:]:
        query, key, value = _heads(block, block.ln_1(original))
        own = _attend(query, key) @ value
        consistent = _attend(value, value) @ value
        new = new + _join(block, consistent)
        original = original + block.ls_1(_join(block, own))
        original = original + block.ls_2(block.mlp(block.ln_2(original)))
    tokens = torch.cat([original[:, :1], new[:, 1:]], dim=1)
    joint = visual.ln_post(tokens) @ visual.proj
    return joint[:, 0], joint[:, 1:]


def _heads(block: Any, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    attention = block.attn
    parts = F.linear(tokens, attention.in_proj_weight, attention.in_proj_bias)
    batch, count, width = tokens.shape
    heads = parts.view(batch, count, 3, attention.num_heads, width // attention.num_heads)
    query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, h, N, d)
    return query, key, value


def _attend(query: Tensor, key: Tensor) -> Tensor:
    """Return the attention matrix (B, h, N, N)."""
    return (query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5).softmax(dim=-1)


def _join(block: Any, received: Tensor) -> Tensor:
    joined: Tensor = block.attn.out_proj(received.transpose(1, 2).flatten(2))
    return joined
