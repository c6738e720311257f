"""Trace: a plain walk that keeps what its last blocks did.

For methods that read or differentiate attention (rollout, generic attention, LeGrad,
Grad-ECLIP) and for looking at it; attention matrices are built here and nowhere else, but for
the one head at a time of outlier repair.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads
from clip_surgery.surgery.walk import (
    Features,
    checked_grid,
    finish_block,
    project_heads,
    project_normed,
    run_block,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """What one block of a plain walk did; n rows, all N or those that the image feature reads.

    Attributes:
        block: the block itself.
        entry: the tokens that came in (B, N, E).
        heads: query, key and value of all tokens.
        attention: the attention probabilities (B, h, n, N).
        received: the attended values before the out-projection (B, h, n, d).
        tokens: the tokens that went out (B, n, E).
    """

    block: Block
    entry: Tensor
    heads: Heads
    attention: Tensor
    received: Tensor
    tokens: Tensor


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


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageTrace:
    """The last blocks on the way to the image feature, as the nodes of one graph.

    Attributes:
        image: the image feature (B, D).
        steps: what each traced block did; where only prefix tokens make the image feature, the
            last step has their rows alone.
        grid: how the patches lie.
    """

    image: Tensor
    steps: tuple[Step, ...]
    grid: PatchGrid


def trace(tower: Tower, pixels: Tensor, *, depth: int = 1) -> Trace:
    """Walk as CLIP does and keep what the last `depth` blocks did, attention matrices included.

    Nothing is detached: gradients of any score with respect to any kept tensor can be asked for.

    Raises:
        InputError: when depth is below 1, or pixels are not of whole patches.
        UnsupportedModelError: when the tower has no blocks.
    """
    first = first_of(tower, depth)
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    tokens = tower.embed(pixels)
    for block in tower.blocks[:first]:
        tokens = run_block(block, tokens)
    steps = []
    for block in tower.blocks[first:]:
        steps.append(step_through(block, tokens, project_heads(tower, block, tokens, grid)))
        tokens = steps[-1].tokens
    features = Features(
        image=tower.pool(tokens),
        patches=tower.project(tokens[:, tower.prefix_tokens :]),
        grid=grid,
    )
    return Trace(
        features=features,
        tokens=tuple(step.tokens for step in steps),
        heads=tuple(step.heads for step in steps),
        attentions=tuple(step.attention for step in steps),
        received=tuple(step.received for step in steps),
    )


def trace_image(tower: Tower, pixels: Tensor, *, depth: int = 1) -> ImageTrace:
    """Walk to the image feature and keep the last `depth` blocks as a graph of their own.

    The graph begins at the normed tokens of the first traced block, so it is there for frozen
    weights too and nothing is kept of the blocks before. In the last block only the rows run
    that the image feature reads.

    Raises:
        InputError: when depth is below 1, or pixels are not of whole patches.
        UnsupportedModelError: when the tower has no blocks.
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
    """Index of the first of the last `depth` blocks; more than there are means all.

    Raises:
        InputError: when depth is below 1.
        UnsupportedModelError: when the tower has no blocks.
    """
    if depth < 1:
        raise InputError(f"Expected depth to be 1 block or more, but got {depth}.")
    if not tower.blocks:
        raise UnsupportedModelError("Expected a tower with blocks to trace, but it has none.")
    return max(0, len(tower.blocks) - depth)


def step_through(block: Block, tokens: Tensor, heads: Heads, *, rows: int | None = None) -> Step:
    """Run one block on tokens (B, N, E) with its attention matrix kept, the first `rows` alone."""
    logits = heads.query[:, :, :rows] @ heads.key.transpose(-2, -1) * heads.scale
    attention = logits.softmax(dim=-1)  # (B, h, n, N)
    received = attention @ heads.value  # (B, h, n, d)
    return Step(
        block=block,
        entry=tokens,
        heads=heads,
        attention=attention,
        received=received,
        tokens=finish_block(block, tokens[:, :rows], received),
    )
