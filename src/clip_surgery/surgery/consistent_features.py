"""Patch features by consistent attention, for models and methods of every kind.

Methods that have no patch features of their own (gradient methods, for example) still need them to
compare texts with reference words. These are the features of architecture surgery with its
published depth (CLIP Surgery, arXiv 2304.05653).
"""

from __future__ import annotations

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.surgery.attention import sharp_value_value, value_value
from clip_surgery.surgery.walk import Features, walk_two_paths

DEPTH = 6
"""Number of last blocks with consistent attention; towers with fewer blocks use all of them."""


def consistent_features(tower: Tower, pixels: Tensor) -> Features:
    """Return the model's image feature (B, D) and patch features (B, P, D) of pixels.

    Args:
        tower: the image tower.
        pixels: normalised pixels (B, 3, H, W) with sides of whole patches.

    Raises:
        InputError: if the pixels have another shape.
    """
    rule = sharp_value_value if tower.attention_pool else value_value
    return walk_two_paths(tower, pixels, depth=DEPTH, rule=rule)
