"""CLIP Surgery: consistent attention on a second path, and what all texts share removed.

Source: Li, Wang, Duan, Zhang, Li, "A Closer Look at the Explainability of Contrastive
Language-Image Pre-training" (Pattern Recognition 162, 2025, 111409; arXiv 2304.05653).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.dense import DenseMethod, Redundancy
from clip_surgery.surgery.attention import sharp_value_value, value_value
from clip_surgery.surgery.walk import Features, walk, walk_two_paths, with_values_alone

AttentionPool = Literal["paper", "reference"]


@dataclass(frozen=True, kw_only=True)
class ClipSurgery(DenseMethod):
    """Architecture surgery in the last `depth` blocks, then feature surgery.

    `redundancy="none"` is architecture surgery alone.

    Attributes:
        depth: how many of the last blocks have the second path; more than there are means all.
        attention_pool: what is done in a ResNet, whose attention pool is its one block: "paper"
            lets patches attend by unit-length values, eight times sharper, and leaves the image
            feature CLIP's own; "reference" is the released code, plain value-value attention for
            the image feature too, which then is not CLIP's. Other towers do not ask.
    """

    name = "clip_surgery"
    paper = "CLIP Surgery (Pattern Recognition 2025, arXiv 2304.05653)"

    depth: int = 6
    redundancy: Redundancy = "labels"
    attention_pool: AttentionPool = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 0:
            raise InputError(f"Expected depth to be 0 or more blocks, but got {self.depth}.")
        if self.attention_pool not in get_args(AttentionPool):
            raise UnknownNameError.among(
                "attention_pool", self.attention_pool, get_args(AttentionPool)
            )

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """The two-path walk."""
        rule = value_value
        if tower.attention_pool and self.depth:
            if self.attention_pool == "reference":
                return walk(with_values_alone(tower), pixels)
            rule = sharp_value_value
        return walk_two_paths(
            tower, pixels, depth=self.depth, rule=rule, repair_outliers=self.repair_outliers
        )
