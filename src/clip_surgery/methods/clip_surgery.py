"""CLIP Surgery: consistent self-attention on a second path, followed by feature surgery.

Source: Li, Wang, Duan, Zhang, Li, "A Closer Look at the Explainability of Contrastive
Language-Image Pre-training" (Pattern Recognition 162, 2025, 111409; arXiv 2304.05653).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import UnknownNameError
from clip_surgery.methods.dense import DenseMethod, Redundancy
from clip_surgery.methods.depth import Depth, applied_depth, checked_depth
from clip_surgery.surgery.attention import sharp_value_value, value_value
from clip_surgery.surgery.walk import Features, walk, walk_two_paths, with_values_alone

AttentionPool = Literal["paper", "reference"]


@dataclass(frozen=True, kw_only=True)
class ClipSurgery(DenseMethod):
    """Architecture surgery in the last `depth` blocks, then feature surgery.

    With `redundancy="none"` it is architecture surgery without feature surgery.

    Attributes:
        depth: number of last blocks with the second path; all blocks if it exceeds their number.
            "auto" is 6, as published, and all blocks in towers of fewer than 12.
        attention_pool: the attention in the attention pool of a ResNet, which is its only block.
            "paper" compares unit-length values at eight times the scale, and the image feature
            remains the model's own. "reference" is the released code: value-value attention for
            the image feature too, which is then not the model's own. Other towers ignore it.

    Raises:
        InputError: if depth is below 0 or no number.
        UnknownNameError: if attention_pool is unknown.
    """

    name = "clip_surgery"
    paper = "CLIP Surgery (Pattern Recognition 2025, arXiv 2304.05653)"

    depth: Depth = "auto"
    redundancy: Redundancy = "auto"
    attention_pool: AttentionPool = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "depth", checked_depth(self.depth, least=0))
        if self.attention_pool not in get_args(AttentionPool):
            raise UnknownNameError.among(
                "attention_pool", self.attention_pool, get_args(AttentionPool)
            )

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features of the walk with a second path of value-value attention."""
        rule, depth = value_value, applied_depth(self.depth, tower)
        if tower.attention_pool and depth:
            if self.attention_pool == "reference":
                return walk(with_values_alone(tower), pixels)
            rule = sharp_value_value
        return walk_two_paths(
            tower, pixels, depth=depth, rule=rule, repair_outliers=self.repair_outliers
        )
