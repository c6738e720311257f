"""Trace: a plain walk that keeps what its last blocks did.

For methods that read or differentiate attention (rollout, generic attention, LeGrad,
Grad-ECLIP) and for looking at it; attention matrices are built here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.surgery.attention import Heads, join_heads
from clip_surgery.surgery.walk import (
    Features,
    add_feed_forward,
    checked_grid,
    project_heads,
    run_block,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """What happened inside the last blocks of a plain walk, for looking and for gradients.

    Attributes:
        features: as `walk` returns them.
        tokens: per traced block, its output tokens (B, N, E).
        heads: per traced block, its query, key and value.
        attentions: per traced block, the attention probabilities (B, h, N, N).
        received: per traced block, the attended values before the out-projection (B, h, N, d).
    """

    features: Features
    tokens: tuple[Tensor, ...]
    heads: tuple[Heads, ...]
    attentions: tuple[Tensor, ...]
    received: tuple[Tensor, ...]


def trace(tower: Tower, pixels: Tensor, *, depth: int = 1) -> Trace:
    """Walk as CLIP does and keep what the last `depth` blocks did, attention matrices included.

    Nothing is detached: gradients of any score with respect to any kept tensor can be asked for.

    Raises:
        InputError: when depth is below 1, or pixels are not of whole patches.
        UnsupportedModelError: when the tower has no blocks.
    """
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    if not tower.blocks:
        raise UnsupportedModelError("Expected a tower with blocks to trace, but it has none.")
    grid = checked_grid(tower, pixels)
    first = max(0, len(tower.blocks) - depth)
    tokens = tower.embed(pixels)
    for block in tower.blocks[:first]:
        tokens = run_block(block, tokens)

    kept_tokens, kept_heads, attentions, kept_received = [], [], [], []
    for block in tower.blocks[first:]:
        heads = project_heads(tower, block, tokens, grid)
        logits = heads.query @ heads.key.transpose(-2, -1) * heads.scale  # (B, h, N, N)
        attention = logits.softmax(dim=-1)
        received = attention @ heads.value  # (B, h, N, d)
        tokens = tokens + block.attention.project_out(join_heads(received))
        tokens = add_feed_forward(block, tokens)
        kept_tokens.append(tokens)
        kept_heads.append(heads)
        attentions.append(attention)
        kept_received.append(received)
    features = Features(
        image=tower.pool(tokens),
        patches=tower.project(tokens[:, tower.prefix_tokens :]),
        grid=grid,
    )
    return Trace(
        features=features,
        tokens=tuple(kept_tokens),
        heads=tuple(kept_heads),
        attentions=tuple(attentions),
        received=tuple(kept_received),
    )
