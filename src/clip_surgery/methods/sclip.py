"""SCLIP: the sum of query-query and key-key attention in the last block.

Source: Wang, Mei, Yuille, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference"
(ECCV 2024, arXiv 2312.01597). The paper applies it to windows of large images. In its code the
class token passes through the changed block; here the image feature remains the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import key_key, query_query, summed
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class Sclip(DenseMethod):
    """In the last block patches receive (A(q, q) + A(k, k)) v.

    Residual connection and feed-forward of the block are kept.
    """

    name = "sclip"
    paper = "SCLIP (ECCV 2024, arXiv 2312.01597)"
    last_block_only: ClassVar[bool] = True

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with the summed attention in the last block."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=summed(query_query, key_key),
            feed_forward=True,
            repair_outliers=self.repair_outliers,
        )
