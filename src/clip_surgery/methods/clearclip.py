"""ClearCLIP: the last block's attention output alone, queries with queries.

Source: Lan et al., "ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language
Inference" (ECCV 2024, arXiv 2407.12442): the residual carries noise, the feed-forward little.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import query_query
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class ClearClip(DenseMethod):
    """In the last block patches are A(q, q) v: no residual, no feed-forward."""

    name = "clearclip"
    paper = "ClearCLIP (ECCV 2024, arXiv 2407.12442)"

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """One new block, its attention output alone."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=query_query,
            residual=False,
            repair_outliers=self.repair_outliers,
        )
