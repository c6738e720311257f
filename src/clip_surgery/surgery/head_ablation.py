"""A view of an image tower in which some attention heads give their mean output.

Mean ablation asks what a model is without a head: the head still adds its mean over images, but
nothing about the image. Unlike `DecomposedFeature.with_means`, which replaces direct effects only,
later blocks see the change too. The tower is not changed; the view shares all of its weights.

Letters: B images, L blocks, h heads, N tokens, E tower width, d head width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from clip_surgery.backbones.block import finish_block, join_heads
from clip_surgery.backbones.tower import Block, TokenMap, Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import attend
from clip_surgery.surgery.heads import checked_grid, project_heads


def mean_outputs(tower: Tower, batches: Iterable[Tensor]) -> list[Tensor]:
    """Return the mean attended value of each head over all images and tokens, L times (h, d).

    Args:
        tower: the image tower.
        batches: normalised pixels (B, 3, H, W), at least one batch; they may differ in size.

    Raises:
        InputError: if there is no batch, or pixels are not of whole patches.
    """
    sums: list[Tensor] = []
    tokens_seen = 0
    for pixels in batches:
        grid = checked_grid(tower, pixels)
        sized = tower.at(grid)
        tokens = sized.embed(pixels)
        sums = sums or [torch.zeros(()) for _ in sized.blocks]
        tokens_seen += tokens.shape[0] * tokens.shape[1]
        for index, block in enumerate(sized.blocks):
            heads = project_heads(sized, block, tokens, grid)
            attended = attend(heads.query, heads.key, heads.value, scale=heads.scale)
            sums[index] = sums[index] + attended.float().sum(dim=(0, 2)).cpu()  # (h, d)
            tokens = finish_block(block, tokens, join_heads(attended))
    if not tokens_seen:
        raise InputError("Expected at least one image, but got none.")
    return [total / tokens_seen for total in sums]


def without_heads(
    tower: Tower, heads: Iterable[tuple[int, int]], means: list[Tensor] | None = None
) -> Tower:
    """Return a view of the tower in which some heads give a constant.

    Args:
        tower: the image tower.
        heads: the heads, as (block, head); negative blocks count from the last one.
        means: what they give, from `mean_outputs`; zeros if None.

    Raises:
        InputError: if there is no such block or head.
    """
    by_block: dict[int, set[int]] = {}
    for block, head in heads:
        count = len(tower.blocks)
        if not -count <= block < count or not 0 <= head < tower.blocks[block].attention.heads:
            raise InputError(
                f"Expected a block below {count} and a head below "
                f"{tower.blocks[block % count].attention.heads if count else 0}, "
                f"but got block {block} and head {head}."
            )
        by_block.setdefault(block % count, set()).add(head)
    if not by_block:
        return tower
    blocks_at = tower.blocks_at

    def viewed_at(grid: PatchGrid) -> tuple[Block, ...]:
        assert blocks_at is not None
        return _viewed(blocks_at(grid), by_block, means)

    return replace(
        tower,
        blocks=_viewed(tower.blocks, by_block, means),
        blocks_at=None if blocks_at is None else viewed_at,
    )


def _viewed(
    blocks: tuple[Block, ...], by_block: Mapping[int, set[int]], means: list[Tensor] | None
) -> tuple[Block, ...]:
    """Return the blocks, with the heads of some of them replaced."""
    return tuple(
        _view(block, sorted(by_block[index]), None if means is None else means[index])
        if index in by_block
        else block
        for index, block in enumerate(blocks)
    )


def _view(block: Block, heads: list[int], means: Tensor | None) -> Block:
    """Return a block whose heads give a constant before the out-projection."""
    attention = block.attention
    project_out: TokenMap = attention.project_out

    def replaced(attended: Tensor) -> Tensor:
        by_head = attended.reshape(*attended.shape[:-1], attention.heads, -1).clone()
        by_head[..., heads, :] = 0 if means is None else means[heads].to(by_head)
        return project_out(by_head.flatten(-2))

    return replace(block, attention=replace(attention, project_out=replaced))
