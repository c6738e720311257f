"""Patch features by consistent attention, for models and methods of every kind.

Methods that have no patch features of their own (gradient methods, for example) still need them to
compare texts with reference words. These are the features of architecture surgery with its
default depth (CLIP Surgery, arXiv 2304.05653).
"""

from __future__ import annotations

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.surgery.attention import sharp_value_value, value_value
from clip_surgery.surgery.walk import Features, walk_two_paths

PUBLISHED_DEPTH = 6
PUBLISHED_BLOCKS = 12
"""Blocks of the smallest tower for which the depth was published."""


def default_depth(tower: Tower) -> int:
    """Return the number of last blocks that have a second path by default.

    It is 6, as published, in towers of at least 12 blocks, and all blocks in smaller towers. In
    the demo model of 8 blocks, the tokens after 2 blocks are dissimilar to the word of their own
    object, so that a second path which starts there gives worse maps than one which starts with
    the first block.

    Args:
        tower: the image tower.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> default_depth(load_backbone("demo").tower)
        8
    """
    blocks = len(tower.blocks)
    return PUBLISHED_DEPTH if blocks >= PUBLISHED_BLOCKS else blocks


def consistent_features(tower: Tower, pixels: Tensor) -> Features:
    """Return the model's image feature (B, D) and patch features (B, P, D) of pixels.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W) with sides of whole patches.

    Raises:
        InputError: if the pixels have another shape.
    """
    rule = sharp_value_value if tower.attention_pool else value_value
    return walk_two_paths(tower, pixels, depth=default_depth(tower), rule=rule)
