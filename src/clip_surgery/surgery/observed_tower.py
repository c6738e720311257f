"""See the inputs and the attention of a tower's blocks while any method runs it.

A method that refines the result of another method needs tokens or attention of the same forward
pass. The functions of the tower's blocks are wrapped, so that nothing runs twice and the other
method is not changed.

Letters: B images, K prefix tokens, P patches, N = K + P tokens, E tower width, h heads, d head
width.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

import torch
from torch import Tensor

from clip_surgery.backbones.block import split_heads
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.affinity import at_least_float32

SeeInput = Callable[[int, Tensor], None]
"""A function of the number of a block, from 1, and its input tokens (B, N, E)."""
SeeAttention = Callable[[int, Tensor], None]
"""A function of the number of a block, from 1, and the attention between patches (B, P, P)."""


def observed_tower(
    tower: Tower,
    *,
    inputs: Collection[int] = (),
    see_input: SeeInput | None = None,
    attention: Collection[int] = (),
    see_attention: SeeAttention | None = None,
) -> Tower:
    """Return a tower that computes the same and shows inputs and attention of chosen blocks.

    A block is shown once, when it is first run on all tokens. The attention is the mean over the
    heads of softmax(scale q k^T) over all tokens, of which the rows and columns of patches are
    shown; it is computed for one head at a time.

    Args:
        tower: the image tower.
        inputs: numbers of the blocks, from 1, whose input tokens are shown.
        see_input: called with each of them.
        attention: numbers of the blocks whose attention is shown.
        see_attention: called with each of them.
    """
    shown_inputs: set[int] = set()
    shown_attention: set[int] = set()

    def observed_block(number: int, block: Block) -> Block:
        if number in inputs and see_input is not None:
            block = replace(block, norm_attention=seen_norm(number, block, see_input))
        if number in attention and see_attention is not None:
            project_in = seen_projection(number, block, see_attention)
            block = replace(block, attention=replace(block.attention, project_in=project_in))
        return block

    def seen_norm(number: int, block: Block, see: SeeInput) -> Callable[[Tensor], Tensor]:
        def norm_attention(tokens: Tensor) -> Tensor:
            if number not in shown_inputs:
                shown_inputs.add(number)
                see(number, tokens)
            return block.norm_attention(tokens)

        return norm_attention

    def seen_projection(
        number: int, block: Block, see: SeeAttention
    ) -> Callable[..., tuple[Tensor, ...]]:
        def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
            projected = block.attention.project_in(tokens, parts)
            if parts.startswith("qk") and number not in shown_attention:
                shown_attention.add(number)
                query, key = (split_heads(part, block.attention.heads) for part in projected[:2])
                see(number, mean_attention(query, key, block.attention.scale, tower.prefix_tokens))
            return projected

        return project_in

    def observed_blocks(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
        return tuple(observed_block(number, block) for number, block in enumerate(blocks, start=1))

    blocks_at = tower.blocks_at
    if blocks_at is None:
        return replace(tower, blocks=observed_blocks(tower.blocks))

    def observed_blocks_at(grid: PatchGrid) -> tuple[Block, ...]:
        return observed_blocks(blocks_at(grid))

    return replace(tower, blocks_at=observed_blocks_at)


def mean_attention(query: Tensor, key: Tensor, scale: float, prefix_tokens: int) -> Tensor:
    """Return the attention between patches (B, P, P), averaged over the heads, float32 or more.

    Args:
        query: (B, h, N, d).
        key: (B, h, N, d).
        scale: factor on q k^T before the softmax, which runs over all tokens.
        prefix_tokens: number of tokens before the patches.
    """
    count = query.shape[2] - prefix_tokens
    total = torch.zeros(
        len(query), count, count, dtype=at_least_float32(query[:0]).dtype, device=query.device
    )
    for queries, keys in zip(query.unbind(1), key.unbind(1), strict=True):
        logits = at_least_float32(queries[:, prefix_tokens:] @ keys.mT * scale)
        total += logits.softmax(dim=-1)[..., prefix_tokens:]
    return total / query.shape[1]
