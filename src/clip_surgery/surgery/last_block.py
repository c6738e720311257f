"""Run the original path up to the last block, for methods that rewrite the last block freely.

`walk_two_paths` is for methods whose last block is an attention rule on the block's own input. The
methods here also change that input, or run the block more than once.

Letters: B images, K prefix tokens, P patches, N = K + P tokens, E tower width, h heads, d head
width, D joint width.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clip_surgery.backbones.block import finish_block, join_heads
from clip_surgery.backbones.tower import Tower
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import AttentionRule, Heads, Seen, attend
from clip_surgery.surgery.heads import checked_grid, project_heads
from clip_surgery.surgery.watch import NOTHING, Recorder, Watch


@dataclass(frozen=True, kw_only=True, eq=False)
class LastBlock:
    """The last block of a tower and its input, for B images.

    Attributes:
        tower: the tower, with the blocks for the grid of the images.
        tokens: the input tokens of the last block (B, N, E).
        grid: rows and columns of the patches.
        seen: what was kept of the blocks before.
    """

    tower: Tower
    tokens: Tensor
    grid: PatchGrid
    seen: Seen

    @property
    def patches(self) -> Tensor:
        """The input patches of the last block (B, P, E)."""
        return self.tokens[:, self.tower.prefix_tokens :]

    def image(self) -> Tensor:
        """Return the model's own image feature (B, D)."""
        tower, block = self.tower, self.tower.blocks[-1]
        rows = tower.prefix_tokens if tower.pool_reads == "prefix" else None
        heads = project_heads(tower, block, self.tokens, self.grid)
        attended = attend(heads.query[:, :, :rows], heads.key, heads.value, scale=heads.scale)
        return tower.pool(finish_block(block, self.tokens[:, :rows], join_heads(attended)))

    def attend(self, tokens: Tensor, rule: AttentionRule, *, prefix_keys: bool = False) -> Tensor:
        """Return the attention output of the last block for the patches.

        There is no residual connection and no feed-forward. Prefix tokens are not queries.

        Args:
            tokens: (B, N, E), with prefix tokens, because rotary positions count them.
            rule: the attention of the patches.
            prefix_keys: whether patches attend to prefix tokens too.

        Returns:
            (B, P, E), after the out-projection.
        """
        block = self.tower.blocks[-1]
        heads = project_heads(self.tower, block, tokens, self.grid)
        heads = heads if prefix_keys else without_prefix(heads)
        # In a tower of one block, the blocks before the last one are this block.
        known = {len(self.tower.blocks): heads, **self.seen.heads}
        received = rule(replace(heads, seen=replace(self.seen, heads=known)))
        return block.attention.project_out(join_heads(received))

    def with_patches(self, patches: Tensor) -> Tensor:
        """Return the input tokens of the last block with other patches (B, P, E)."""
        return torch.cat([self.tokens[:, : self.tower.prefix_tokens], patches], dim=1)

    def class_residual(self, tokens: Tensor) -> Tensor:
        """Return the class tokens (B, 1, E) of tokens (B, N, E), which are added to all patches.

        They are zero if the tower has no class token, or if its last block has no residual
        connection and so leaves the space of its input (the attention pool of a ResNet).
        """
        if self.tower.prefix_tokens and self.tower.blocks[-1].residual:
            return tokens[:, :1]
        return tokens.new_zeros(len(tokens), 1, tokens.shape[-1])


def enter_last_block(tower: Tower, pixels: Tensor, watch: Watch = NOTHING) -> LastBlock:
    """Run all blocks but the last one, and return the last one with its input.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.
        watch: the tokens and heads of earlier blocks that are kept.

    Raises:
        InputError: if the pixels have another shape.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> tower = load_backbone("demo").tower
        >>> entered = enter_last_block(tower, torch.zeros(1, 3, 96, 96), Watch(tokens=(0.75,)))
        >>> entered.patches.shape[:2], list(entered.seen.tokens)
        (torch.Size([1, 144]), [6])
    """
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    tokens = tower.embed(pixels)  # (B, N, E)
    recorder = Recorder(tower, grid, watch, tokens)
    for number, block in enumerate(tower.blocks[:-1], start=1):
        tokens = recorder.run(number, block, tokens)
    return LastBlock(tower=tower, tokens=tokens, grid=grid, seen=recorder.seen)


def without_prefix(heads: Heads) -> Heads:
    """Return the heads of the patches alone."""
    prefix = heads.prefix_tokens
    return replace(
        heads,
        query=heads.query[:, :, prefix:],
        key=heads.key[:, :, prefix:],
        value=heads.value[:, :, prefix:],
        normed=heads.normed[:, prefix:],
        prefix_tokens=0,
    )
