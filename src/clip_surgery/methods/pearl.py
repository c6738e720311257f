"""PEARL: keys are rotated onto queries in the last block, by a Procrustes alignment.

Source: PEARL, from a description of its released code. The setting is that of the code;
`key_weight` is 0.3 for ADE20K and Cityscapes there. Differences from the code: the image feature
remains the model's own; the refinement of logits on a graph of pixels, windows and thresholds are
not part of this method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.procrustes import procrustes
from clip_surgery.surgery.walk import Features, walk_two_paths


@dataclass(frozen=True, kw_only=True)
class Pearl(DenseMethod):
    """The patch output of the last block is O(softmax(s q (k R)^T + w s Kc Kc^T) v).

    R rotates centred keys Kc onto centred queries, s is the scale of the model and O the
    out-projection. The residual connection and the feed-forward of the block are left out.

    Attributes:
        key_weight: weight w of the similarity of keys with keys.
        steps: number of Newton-Schulz steps towards the rotation, 5 in the code. With so few steps
            only the main directions are rotated fully.

    Raises:
        InputError: if key_weight is negative or not finite, or steps is negative.
    """

    name = "pearl"
    paper = "PEARL (its code, 2026)"
    last_block_only: ClassVar[bool] = True

    key_weight: float = 0.08
    steps: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.key_weight < float("inf"):
            raise InputError(f"Expected key_weight of 0 or more, but got {self.key_weight}.")
        if self.steps < 0:
            raise InputError(f"Expected 0 steps or more, but got {self.steps}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with the aligned attention as the only output of the last block."""
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=procrustes(self.key_weight, self.steps),
            residual=False,
            repair_outliers=self.repair_outliers,
        )
