"""NACLIP: key-key attention in the last block, with a bias towards neighbouring patches.

Source: Hajimiri, Ben Ayed, Dolz, "Pay Attention to Your Neighbours: Training-Free Open-Vocabulary
Semantic Segmentation" (WACV 2025, arXiv 2404.08181).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import neighbourhood
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class NaClip(DenseMethod):
    """The patch output of the last block is O(softmax(s k k^T + w) v).

    s is the scale of the model, O the out-projection, and w a Gaussian of the distance between
    patches. The residual connection and the feed-forward of the block are left out.

    Attributes:
        std: standard deviation of the Gaussian, in patches.

    Raises:
        InputError: if std is not positive.
    """

    name = "naclip"
    paper = "NACLIP (WACV 2025, arXiv 2404.08181)"
    last_block_only: ClassVar[bool] = True

    std: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.std > 0:
            raise InputError(f"Expected std above 0 patches, but got {self.std}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with the biased attention as the only output of the last block."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=neighbourhood(self.std),
            residual=False,
            repair_outliers=self.repair_outliers,
        )
