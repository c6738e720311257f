"""ClearCLIP: query-query attention in the last block, without residual and feed-forward.

Source: Lan et al., "ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language
Inference" (ECCV 2024, arXiv 2407.12442), which shows that the residual connection adds noise and
the feed-forward adds little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import query_query
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class ClearClip(DenseMethod):
    """The patch output of the last block is O(A(q, q) v); O is the out-projection."""

    name = "clearclip"
    paper = "ClearCLIP (ECCV 2024, arXiv 2407.12442)"
    last_block_only: ClassVar[bool] = True

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with query-query attention as the only output of the last block."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=query_query,
            residual=False,
            repair_outliers=self.repair_outliers,
        )
