"""A method of your own: write it, check that it keeps all contracts, and use it."""

from dataclasses import dataclass

from torch import Tensor

import clip_surgery as cs
from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.walk import Features, walk_two_paths
from clip_surgery.testing import check_method


@dataclass(frozen=True, kw_only=True)
class LastBlocks(DenseMethod):
    """Consistent attention (CLIP Surgery) in the last two blocks."""

    name = "last_blocks"
    paper = "CLIP Surgery (arXiv 2304.05653), with two blocks"

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Image and patch features of normalised pixels (B, 3, H, W)."""
        return walk_two_paths(tower, pixels, depth=2)


check_method(LastBlocks())
print("last_blocks keeps all contracts")

explainer = cs.load("demo", method=LastBlocks())
print(explainer.method)
