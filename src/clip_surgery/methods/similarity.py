"""CLIP's own patch-text map, and the same map reversed.

Plain CLIP is the baseline that shows opposite visualisation: its map lights the background.
Minus that map (RCLIP in arXiv 2209.07046) is the sanity check: where the reversed map is the
better one, the raw map is opposite.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.walk import Features, walk_two_paths
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class Similarity(DenseMethod):
    """Cosine of CLIP's own patch tokens and the text (Radford et al., arXiv 2103.00020)."""

    name = "similarity"
    paper = "CLIP (arXiv 2103.00020)"

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """CLIP's own forward."""
        return walk_two_paths(tower, pixels, depth=0, repair_outliers=self.repair_outliers)


@dataclass(frozen=True, kw_only=True)
class Reversed(Similarity):
    """Minus CLIP's own map; it has no dense similarity that segmentation could read."""

    name = "reversed"
    paper = "RCLIP (arXiv 2209.07046)"

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Explain normalised pixels by minus the similarity."""
        evidence = super().__call__(backbone, pixels, texts)
        return replace(evidence, patches=-evidence.patches, similarity=None)
