"""MaskCLIP: in the last block each patch keeps its own value instead of attending.

Source: Zhou, Loy, Dai, "Extract Free Dense Labels from CLIP" (ECCV 2022, arXiv 2112.01071).
The paper keeps the residual connection and the feed-forward of the block; later papers report it
without both. Two settings choose between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import identity
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class MaskClip(DenseMethod):
    """In the last block each patch receives O(v), the out-projection of its own value.

    Attributes:
        residual: whether the block's input is added, as its residual connection does.
        feed_forward: whether the feed-forward of the block follows.
    """

    name = "maskclip"
    paper = "MaskCLIP (ECCV 2022, arXiv 2112.01071)"
    last_block_only: ClassVar[bool] = True

    residual: bool = True
    feed_forward: bool = True

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with the identity as attention matrix of the last block."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=identity,
            residual=self.residual,
            feed_forward=self.feed_forward,
            repair_outliers=self.repair_outliers,
        )
