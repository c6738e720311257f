"""SCLIP: correlative self-attention in the last block, queries with queries, keys with keys.

Source: Wang, Mei, Yuille, "SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference"
(ECCV 2024, arXiv 2312.01597). The paper runs windows over large images, and its code lets the
class token through the changed block; here the image feature stays CLIP's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import key_key, query_query, summed
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class Sclip(DenseMethod):
    """In the last block patches receive (A(q, q) + A(k, k)) v; residual and feed-forward stay."""

    name = "sclip"
    paper = "SCLIP (ECCV 2024, arXiv 2312.01597)"

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """One new block, whole."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=summed(query_query, key_key),
            feed_forward=True,
            repair_outliers=self.repair_outliers,
        )
