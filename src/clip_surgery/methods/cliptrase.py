"""CLIPtrase: the sum of query-query, key-key and value-value attention in the last block.

Source: Shao et al., "Explore the Potential of CLIP for Training-Free Open Vocabulary Semantic
Segmentation" (ECCV 2024, arXiv 2407.08268). Only its attention is used here, not the clustering
of patches and the denoising that follow in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import key_key, query_query, summed, value_value
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class ClipTrase(DenseMethod):
    """In the last block patches receive (A(q, q) + A(k, k) + A(v, v)) v.

    Residual connection and feed-forward of the block are kept.
    """

    name = "cliptrase"
    paper = "CLIPtrase (ECCV 2024, arXiv 2407.08268)"
    last_block_only: ClassVar[bool] = True

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with the summed attention in the last block."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=summed(query_query, key_key, value_value),
            feed_forward=True,
            repair_outliers=self.repair_outliers,
        )
