"""MaskCLIP: the last block's values instead of its attention.

Source: Zhou, Loy, Dai, "Extract Free Dense Labels from CLIP" (ECCV 2022, arXiv 2112.01071).
The paper keeps residual and feed-forward; later papers re-run it without both: two settings.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import identity
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class MaskClip(DenseMethod):
    """In the last block each patch receives O(v) of its own value.

    Attributes:
        residual: whether the patch tokens before the block are added.
        feed_forward: whether the block's feed-forward follows.
    """

    name = "maskclip"
    paper = "MaskCLIP (ECCV 2022, arXiv 2112.01071)"

    residual: bool = True
    feed_forward: bool = True

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """One new block with identity attention."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=identity,
            residual=self.residual,
            feed_forward=self.feed_forward,
            repair_outliers=self.repair_outliers,
        )
