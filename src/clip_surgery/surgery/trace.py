"""Run an image tower and keep intermediate results of its last blocks, for gradient methods.

Generic attention, LeGrad, Grad-ECLIP and Grad-CAM differentiate a score with respect to attention
matrices or attended values. Attention matrices are stored here and nowhere else, except for the
one head at a time of outlier repair.

Letters: B images, N tokens, n tokens whose output is computed, E tower width, h heads, d head
width, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.block import finish_block, join_heads, run_block
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads
from clip_surgery.surgery.heads import checked_grid, project_heads, project_normed


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """Intermediate results of one block for n of its N tokens.

    In the last block these are the tokens that the image feature depends on, otherwise all tokens.

    Attributes:
        block: the block itself.
        entry: its input tokens (B, N, E).
        heads: query, key and value of all tokens.
        attention: the attention probabilities (B, h, n, N).
        received: the attended values before the out-projection (B, h, n, d).
        tokens: its output tokens (B, n, E).
    """

    block: Block
    entry: Tensor
    heads: Heads
    attention: Tensor
    received: Tensor
    tokens: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageTrace:
    """The last blocks before the image feature, as nodes of one autograd graph.

    Attributes:
        image: the image feature (B, D).
        steps: intermediate results of each traced block. If the image feature depends on prefix
            tokens only, the last step has their rows only.
        grid: rows and columns of the patches.
    """

    image: Tensor
    steps: tuple[Step, ...]
    grid: PatchGrid


def trace_image(tower: Tower, pixels: Tensor, *, depth: int = 1) -> ImageTrace:
    """Run the forward pass to the image feature and keep the graph of the last `depth` blocks.

    The graph starts at the normed tokens of the first traced block. It therefore exists for frozen
    weights too, and earlier blocks are not part of it. In the last block only the tokens are
    computed that the image feature reads.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.
        depth: number of last blocks to trace, at least 1. If it exceeds the number of blocks, all
            blocks are traced.

    Raises:
        InputError: if depth is below 1 or the pixels have another shape.
        UnsupportedModelError: if the tower has no blocks.
    """
    first = first_of(tower, depth)
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    with torch.no_grad():
        tokens = tower.embed(pixels)
        for block in tower.blocks[:first]:
            tokens = run_block(block, tokens)
        normed = tower.blocks[first].norm_attention(tokens)
    heads = project_normed(tower, tower.blocks[first], normed.detach().requires_grad_(), grid)
    steps: list[Step] = []
    for index, block in enumerate(tower.blocks[first:], start=first):
        if steps:
            heads = project_heads(tower, block, tokens, grid)
        last = index == len(tower.blocks) - 1
        rows = tower.prefix_tokens if last and tower.pool_reads == "prefix" else None
        steps.append(step_through(block, tokens, heads, rows=rows))
        tokens = steps[-1].tokens
    return ImageTrace(image=tower.pool(tokens), steps=tuple(steps), grid=grid)


def block_heads(tower: Tower, pixels: Tensor, *, block: int) -> Heads:
    """Return query, key and value of one block, without running that block or later ones.

    Args:
        tower: an image tower.
        pixels: normalised pixels (B, 3, H, W) with sides of whole patches.
        block: index of the block, from 0.

    Raises:
        InputError: if pixels are not of whole patches.
        UnsupportedModelError: if the tower has no blocks.
    """
    first_of(tower, 1)
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    tokens = tower.embed(pixels)
    for earlier in tower.blocks[:block]:
        tokens = run_block(earlier, tokens)
    return project_heads(tower, tower.blocks[block], tokens, grid)


def first_of(tower: Tower, depth: int) -> int:
    """Return the index of the first of the last `depth` blocks, 0 if there are fewer blocks.

    Raises:
        InputError: if depth is below 1.
        UnsupportedModelError: if the tower has no blocks.
    """
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    if not tower.blocks:
        raise UnsupportedModelError("Expected a tower with blocks to trace, but it has none.")
    return max(0, len(tower.blocks) - depth)


def step_through(block: Block, tokens: Tensor, heads: Heads, *, rows: int | None = None) -> Step:
    """Run one block and return its results, including the attention matrix.

    Args:
        block: the block.
        tokens: its input tokens (B, N, E).
        heads: query, key and value of these tokens.
        rows: number of first tokens whose output is computed; all tokens if None.
    """
    logits = heads.query[:, :, :rows] @ heads.key.transpose(-2, -1) * heads.scale
    attention = logits.softmax(dim=-1)  # (B, h, n, N)
    received = attention @ heads.value  # (B, h, n, d)
    return Step(
        block=block,
        entry=tokens,
        heads=heads,
        attention=attention,
        received=received,
        tokens=finish_block(block, tokens[:, :rows], join_heads(received)),
    )
