"""GEM: queries, keys and values each cluster by themselves, on a second path.

Source: Bousselham, Petersen, Ferrari, Kuehne, "Grounding Everything: Emerging Localization
Properties in Vision-Language Transformers" (CVPR 2024, arXiv 2312.00878). The paper runs images
at 448 px and texts through one template, "a photo of a {}": both are the caller's to choose.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import grounding
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class Gem(DenseMethod):
    """In the last `depth` blocks patches receive the mean of three self-self attentions.

    Attributes:
        depth: how many of the last blocks have the second path; more than there are means all.
        iterations: how often q, k and v are moved towards their own clusters first.
        sharpness: times the published temperature, which follows the norms of the tokens: where
            they are small all points move to nearly one place, and a larger one is needed.

    Raises:
        InputError: for depth below 1, iterations below 0 or a sharpness that is not above 0.
    """

    name = "gem"
    paper = "GEM (CVPR 2024, arXiv 2312.00878)"

    depth: int = 6
    iterations: int = 1
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 1:
            raise InputError(f"Expected depth to be 1 block or more, but got {self.depth}.")
        if self.iterations < 0:
            raise InputError(f"Expected iterations to be 0 or more, but got {self.iterations}.")
        if not 0 < self.sharpness < math.inf:
            raise InputError(f"Expected sharpness to be above 0, but got {self.sharpness}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """The two-path walk with residual, without feed-forward."""
        return walk_two_paths(
            tower,
            pixels,
            depth=self.depth,
            rule=grounding(self.iterations, self.sharpness),
            repair_outliers=self.repair_outliers,
        )
