"""Keep tokens and heads of chosen blocks of the original path, for the rules of the last block.

Blocks are named by fractions of the depth of the tower, so that the same settings suit towers of
any depth: 0.75 is block 9 of 12, and block 18 of 24. Only what a `Watch` asks for is kept.

Letters: B images, N tokens, E tower width, h heads, d head width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.block import finish_block, join_heads, run_block
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads, Seen, attend
from clip_surgery.surgery.heads import project_heads


@dataclass(frozen=True, kw_only=True)
class Watch:
    """What is kept of the original path.

    Attributes:
        tokens: fractions of the depth, in [0, 1]; the output tokens of these blocks are kept.
        heads: fractions of the depth, in [0, 1]; query, key and value of these blocks are kept.
        levels: two fractions of the depth. The sum of the output tokens of all blocks from the
            first to the second is kept; None keeps no sum.

    Raises:
        InputError: if a fraction is not in [0, 1], or the first level is above the second.
    """

    tokens: tuple[float, ...] = ()
    heads: tuple[float, ...] = ()
    levels: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for fraction in (*self.tokens, *self.heads, *(self.levels or ())):
            if not 0 <= fraction <= 1:
                raise InputError(f"Expected fractions of depth in [0, 1], but got {fraction}.")
        if self.levels is not None and self.levels[0] > self.levels[1]:
            raise InputError(f"Expected the lower level first, but got {self.levels}.")


NOTHING = Watch()
"""Keeps nothing of the original path."""


def token_block(fraction: float, blocks: int) -> int:
    """Return the number of the block whose output tokens a fraction of the depth means.

    Args:
        fraction: fraction of the depth, in [0, 1].
        blocks: number of blocks of the tower.

    Returns:
        The nearest block before the last one, counted from 1. 0 means the tokens before the first
        block, which is the answer for a tower of one block.

    Example:
        >>> token_block(0.75, 12), token_block(0.75, 24), token_block(0.75, 1)
        (9, 18, 0)
    """
    return min(max(math.floor(fraction * blocks + 0.5), 1), blocks - 1)


def head_block(fraction: float, blocks: int) -> int:
    """Return the number of the block, counted from 1, whose heads a fraction of the depth means.

    Example:
        >>> head_block(0.5, 12), head_block(0, 12), head_block(0.5, 1)
        (6, 1, 1)
    """
    return min(max(math.floor(fraction * blocks + 0.5), 1), blocks)


class Recorder:
    """Runs blocks of the original path, and keeps what a `Watch` asks for.

    Args:
        tower: the tower for the grid of the images (see `Tower.at`).
        grid: rows and columns of the patches.
        watch: what is kept.
        tokens: the tokens before the first block (B, N, E).
    """

    def __init__(self, tower: Tower, grid: PatchGrid, watch: Watch, tokens: Tensor) -> None:
        blocks = len(tower.blocks)
        self._tower, self._grid = tower, grid
        self._token_blocks = {token_block(fraction, blocks) for fraction in watch.tokens}
        self._head_blocks = {head_block(fraction, blocks) for fraction in watch.heads}
        self._level_blocks = range(0)
        if watch.levels is not None:
            first, last = (token_block(fraction, blocks) for fraction in watch.levels)
            self._level_blocks = range(first, last + 1)
        self.seen = Seen(tokens={}, heads={}, levels=None, blocks=blocks)
        self.keep_tokens(0, tokens)

    def run(self, number: int, block: Block, tokens: Tensor) -> Tensor:
        """Run a block, counted from 1, on its input tokens (B, N, E); return its output tokens."""
        if number in self._head_blocks:
            heads = project_heads(self._tower, block, tokens, self._grid)
            self.keep_heads(number, heads)
            attended = attend(heads.query, heads.key, heads.value, scale=heads.scale)
            tokens = finish_block(block, tokens, join_heads(attended))
        else:
            tokens = run_block(block, tokens)
        self.keep_tokens(number, tokens)
        return tokens

    def keep_heads(self, number: int, heads: Heads) -> None:
        """Keep the heads of a block, counted from 1, if the watch asks for them."""
        if number in self._head_blocks:
            self.seen.heads[number] = heads

    def keep_tokens(self, number: int, tokens: Tensor) -> None:
        """Keep the output tokens (B, N, E) of a block, counted from 1, if they are asked for."""
        if number in self._token_blocks:
            self.seen.tokens[number] = tokens
        if number in self._level_blocks:
            levels = self.seen.levels
            self.seen.levels = tokens if levels is None else levels + tokens
