"""The walk of RF-CLIP: outliers are repaired after every block, and the last attends as all do.

Source: the released code of RF-CLIP (arXiv 2511.16170). Difference: the image feature is that of
the model, from a second run of the blocks without repairs. It begins at the first block after which
a patch of the batch is repaired; until then both runs are the same.

Letters: B images, K prefix tokens, P patches, N = K + P tokens, E tower width, h heads, d head
width, D joint width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from clip_surgery.backbones.block import run_block
from clip_surgery.backbones.tower import Tower
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import Heads, key_key
from clip_surgery.surgery.heads import checked_grid
from clip_surgery.surgery.last_block import LastBlock
from clip_surgery.surgery.watch import Recorder, Watch

FindOutliers = Callable[[Tensor], Tensor]
"""A function from the patches (B, P, E) after a block to its outliers (B, P) bool."""
Repair = Callable[[Tensor, Tensor, PatchGrid], Tensor]
"""A function of patches (B, P, E), outliers (B, P) and grid, which returns the repaired patches."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RefocusedWalk:
    """The repaired tokens of B images up to the last block, and both image features.

    Attributes:
        last: the last block and its input, repaired. `last.seen` has the heads of the blocks
            before it.
        guide: mean of the output tokens of all blocks, repaired (B, N, E).
        image: the model's own image feature (B, D).
        refocused_image: the image feature of the repaired tokens (B, D).
    """

    last: LastBlock
    guide: Tensor
    image: Tensor
    refocused_image: Tensor


def refocused_walk(
    tower: Tower, pixels: Tensor, *, find: FindOutliers, repair: Repair
) -> RefocusedWalk:
    """Run all blocks of a tower with a repair of outliers after each.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W); H and W are multiples of the patch size.
        find: finds the outliers after a block.
        repair: repairs them.

    Raises:
        InputError: if the pixels have another shape.
    """
    grid = checked_grid(tower, pixels)
    tower = tower.at(grid)
    blocks = len(tower.blocks)
    own = tokens = tower.embed(pixels)  # (B, N, E)
    watch = Watch(heads=tuple(number / blocks for number in range(1, blocks)))
    recorder = Recorder(tower, grid, watch, tokens)
    total = torch.zeros_like(tokens)
    for number, block in enumerate(tower.blocks[:-1], start=1):
        output = recorder.run(number, block, tokens)
        own = output if own is tokens else run_block(block, own)
        tokens = _repaired(output, tower.prefix_tokens, grid, find, repair)
        total = total + tokens
    last = LastBlock(tower=tower, tokens=tokens, grid=grid, seen=recorder.seen)
    output = run_block(tower.blocks[-1], tokens)
    repaired = _repaired(output, tower.prefix_tokens, grid, find, repair)
    return RefocusedWalk(
        last=last,
        guide=(total + repaired) / blocks,
        image=tower.pool(output) if own is tokens else replace(last, tokens=own).image(),
        refocused_image=tower.pool(repaired),
    )


def all_keys(heads: Heads) -> Tensor:
    """Return the mean over all blocks of softmax(scale k k^T), times the values of the patches.

    The keys of earlier blocks are those of `Heads.seen`. Prefix tokens are keys in each softmax,
    but their values count as zero, so that the weights of a patch sum to less than 1.
    """
    prefix = heads.prefix_tokens
    of_prefix = torch.zeros_like(heads.value[:, :, :prefix])
    values = torch.cat([of_prefix, heads.value[:, :, prefix:]], dim=2)
    received = torch.zeros_like(values[:, :, prefix:])
    for of_block in heads.seen.heads.values():
        known = replace(heads, key=of_block.key, scale=of_block.scale, value=values)
        received = received + key_key(known)
    return received / len(heads.seen.heads)


def _repaired(
    tokens: Tensor, prefix: int, grid: PatchGrid, find: FindOutliers, repair: Repair
) -> Tensor:
    """Return tokens with repaired patches; the same tensor if no image has an outlier."""
    patches = tokens[:, prefix:]
    outliers = find(patches)
    if not bool(outliers.any()):
        return tokens
    return torch.cat([tokens[:, :prefix], repair(patches, outliers, grid)], dim=1)
