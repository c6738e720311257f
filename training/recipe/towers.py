"""The forward passes of training: open_clip's parameters, walked in the cheapest order.

The parameters live in open_clip's own `CLIP` module, so a checkpoint is a plain open_clip one.
What differs from its forward: patches that are dropped are never embedded, texts are cut to their
longest, and attention is one call of PyTorch's fused kernel.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from open_clip.model import CLIP
from torch import Tensor, nn
from torch.nn import functional as F


def image_features(
    model: CLIP,
    patches: Tensor,
    kept: Tensor | None = None,
    through: Callable[..., Tensor] | None = None,
) -> Tensor:
    """Unit image features (B, D) from flattened patches (B, n, 3 * p * p), n of the P of the grid.

    kept: (B, n) int64, which patches of the grid these are; None means all, in order. through: what
    computes a block, `through_block` by default.
    """
    visual, through = model.visual, through or through_block
    tokens = embedded(model, patches, kept)
    for block in visual.transformer.resblocks:
        tokens = through(block, tokens, causal=False)
    return F.normalize(visual.ln_post(tokens[:, 0]) @ visual.proj, dim=-1)


def embedded(model: CLIP, patches: Tensor, kept: Tensor | None = None) -> Tensor:
    """The tokens (B, 1 + n, E) that enter the first block: the class token, then the patches."""
    visual = model.visual
    tokens = F.linear(patches, visual.conv1.weight.flatten(1))  # (B, n, E)
    positions = visual.positional_embedding
    tokens = tokens + (positions[1:] if kept is None else F.embedding(kept, positions[1:]))
    first = (visual.class_embedding + positions[0]).to(tokens.dtype)
    tokens = torch.cat([first.expand(len(tokens), 1, -1), tokens], dim=1)  # (B, 1 + n, E)
    return visual.ln_pre(tokens)


def text_features(
    model: CLIP, tokens: Tensor, ends: Tensor, through: Callable[..., Tensor] | None = None
) -> Tensor:
    """Unit text features (C, D) from tokens (C, T) and the places of their ends (C,)."""
    through = through or through_block
    hidden = model.token_embedding(tokens) + model.positional_embedding[: tokens.shape[1]]
    for block in model.transformer.resblocks:
        hidden = through(block, hidden, causal=True)
    pooled = hidden[torch.arange(len(hidden), device=hidden.device), ends]  # (C, E)
    return F.normalize(model.ln_final(pooled) @ model.text_projection, dim=-1)


def through_block(block: nn.Module, tokens: Tensor, *, causal: bool) -> Tensor:
    """One pre-norm transformer block of open_clip, (B, N, E) to (B, N, E)."""
    tokens = attended(block, tokens, causal=causal)
    return tokens + block.mlp(block.ln_2(tokens))


def attended(block: nn.Module, tokens: Tensor, *, causal: bool) -> Tensor:
    """The tokens (B, N, E) after the first half of a block, its attention."""
    attention = block.attn
    rows, length, width = tokens.shape
    heads = attention.num_heads
    packed = F.linear(block.ln_1(tokens), attention.in_proj_weight, attention.in_proj_bias)
    split = packed.view(rows, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
    q, k, v = split.unbind(0)  # each (B, h, N, d)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    mixed = mixed.transpose(1, 2).reshape(rows, length, width)
    return tokens + attention.out_proj(mixed)


def patches_of(pixels: Tensor, side: int) -> Tensor:
    """Patches (B, P, 3 * side * side), row by row, of pixels (B, 3, H, W), in conv1's order."""
    batch, channels, height, width = pixels.shape
    rows, columns = height // side, width // side
    grid = pixels.view(batch, channels, rows, side, columns, side)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * side * side)
