"""The cosine similarity of CLIP's own patch tokens with texts, and its negative.

The maps of an unchanged CLIP are often opposite to the objects: the background has the higher
similarity (CLIP Surgery, arXiv 2304.05653). The negative of the map (RCLIP, arXiv 2209.07046) shows
whether this is so for a model, because it then localises better than the map itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

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
    last_block_only: ClassVar[bool] = True

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features of the model's own forward pass."""
        return walk_two_paths(tower, pixels, depth=0, repair_outliers=self.repair_outliers)


@dataclass(frozen=True, kw_only=True)
class Reversed(Similarity):
    """The negative of `Similarity`; it has no patch similarity that segmentation could use."""

    name = "reversed"
    paper = "RCLIP (arXiv 2209.07046)"

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return the negative similarity as evidence."""
        evidence = super().__call__(backbone, pixels, texts)
        return replace(evidence, patches=-evidence.patches, similarity=None)
