"""CLIP Surgery: consistent attention on a second path, and what all texts share removed.

Source: Li, Wang, Duan, Zhang, Li, "A Closer Look at the Explainability of Contrastive
Language-Image Pre-training" (Pattern Recognition 162, 2025, 111409; arXiv 2304.05653).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod, Redundancy
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class ClipSurgery(DenseMethod):
    """Architecture surgery in the last `depth` blocks, then feature surgery.

    `redundancy="none"` is architecture surgery alone.

    Attributes:
        depth: how many of the last blocks have the second path; more than there are means all.
    """

    name = "clip_surgery"
    paper = "CLIP Surgery (Pattern Recognition 2025, arXiv 2304.05653)"

    depth: int = 6
    redundancy: Redundancy = "labels"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 0:
            raise InputError(f"Expected depth to be 0 or more blocks, but got {self.depth}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """The two-path walk."""
        return walk_two_paths(tower, pixels, depth=self.depth, repair_outliers=self.repair_outliers)
