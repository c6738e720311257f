"""SC-CLIP: a last block that attends by the affinity of a middle block, on smoothed patches.

Source: Bai, Liu, Han, Zhang, Tang, "Self-Calibrated CLIP for Training-Free Open-Vocabulary
Segmentation" (arXiv 2411.15869). The settings are those of its released code for ViT-B/16;
fractions of the depth are chosen so that they also name its blocks for ViT-L/14, for which the code
has a class weight of 0.1. Differences from the code: means and ranks are those of one image, not of
the batch; the image feature remains the model's own; in towers without class token the term of the
class token is left out. Windows, sizes and thresholds of classes are not part of the method.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.affinity import centred_softmax, patch_cosines, weighted_by
from clip_surgery.surgery.attention import key_key, mean_of
from clip_surgery.surgery.calibration import calibrated_features
from clip_surgery.surgery.density_outliers import find_sparse_patches
from clip_surgery.surgery.last_block import LastBlock, enter_last_block
from clip_surgery.surgery.outliers import fill_outliers, find_outliers
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import Watch, token_block

MIDDLE, LOW, LEVELS = 0.72, 0.31, (0.37, 0.80)
"""Fractions of the depth: blocks 9, 4 and 4 to 10 of 12; blocks 17, 7 and 9 to 19 of 24."""


@dataclass(frozen=True, kw_only=True)
class ScClip(DenseMethod):
    """The patch output of the last block is T(low) (O(mean(C, A(k, k)) v) + w c).

    C is the sharpened affinity of a middle block, T smooths by the affinity of a block, O is the
    out-projection and c the class token. Outlier tokens are repaired and patches are smoothed
    before the block. The same block on the sum of several levels is added.

    Attributes:
        threshold: lowest cosine of two patches by which patches are smoothed.
        sharpness: factor on the affinity before its softmax.
        class_weight: weight w of the class token; 0.3 for ViT-B/16, 0.1 for ViT-L/14.
        neighbours: number of nearest patches by which the density of a patch is measured.
        outlier_share: share of the patches that are repaired, those of the lowest density.
        levels: whether the second stream, on the sum of levels, is added.
        repair_outliers: whether the outliers are those of `surgery.outliers` instead.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name = "sc_clip"
    paper = "SC-CLIP (arXiv 2411.15869)"

    threshold: float = 0.4
    sharpness: float = 3.0
    class_weight: float = 0.3
    neighbours: int = 30
    outlier_share: float = 0.05
    levels: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.threshold <= 1:
            raise InputError(f"Expected threshold in [0, 1], but got {self.threshold}.")
        if not 0 < self.sharpness < float("inf"):
            raise InputError(f"Expected sharpness above 0, but got {self.sharpness}.")
        if not 0 <= self.class_weight < float("inf"):
            raise InputError(f"Expected class_weight of 0 or more, but got {self.class_weight}.")
        if self.neighbours < 1:
            raise InputError(f"Expected 1 neighbour or more, but got {self.neighbours}.")
        if not 0 <= self.outlier_share <= 1:
            raise InputError(f"Expected outlier_share in [0, 1], but got {self.outlier_share}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features of the self-calibrated last block."""
        blocks, prefix = len(tower.blocks), tower.prefix_tokens
        watch = Watch(
            tokens=(MIDDLE, LOW),
            heads=(1 - 1 / blocks,) if self.repair_outliers else (),
            levels=LEVELS if self.levels else None,
        )
        last = enter_last_block(tower, pixels, watch)
        outliers = self._outliers(last)
        middle = last.seen.tokens[token_block(MIDDLE, blocks)][:, prefix:]
        cosines = patch_cosines(fill_outliers(middle, outliers, last.grid))
        weights = centred_softmax(cosines, sharpness=self.sharpness)
        rule = mean_of(weighted_by(weights), key_key)
        return calibrated_features(
            last,
            patches=fill_outliers(last.patches, outliers, last.grid),
            middle_cosines=cosines,
            low_patches=last.seen.tokens[token_block(LOW, blocks)][:, prefix:],
            rule=rule,
            level_rule=rule,
            class_weight=self.class_weight,
            threshold=self.threshold,
        )

    def _outliers(self, last: LastBlock) -> Tensor:
        if self.repair_outliers:
            return find_outliers(last.seen.heads[last.seen.blocks - 1])
        return find_sparse_patches(
            last.patches, neighbours=self.neighbours, share=self.outlier_share
        )
