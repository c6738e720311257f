"""SFP: self-calibration with outliers that are found by the diagonal of attention.

Source: Jin et al., "Feature Purification Matters: Suppressing Outlier Propagation for Training-Free
Open-Vocabulary Semantic Segmentation" (ICCV 2025), and its released code. The paper repairs tokens
in every block and integrates the attention of all blocks; the code repairs once, before the last
block, and does not use the integrated attention. The settings are those of the code. Differences
from the code: means and ranks are those of one image; the image feature remains the model's own;
the code's first versions attend on the levels as on the patches, its last one by affinity alone
(`level_attention`); an outlier without sound neighbours is kept, where the code makes it zero
(`variant`). Windows, sizes and thresholds of classes are not part of the method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.requirements import REPAIR_NEEDS, Part
from clip_surgery.methods.sc_clip import LEVELS, LOW, MIDDLE
from clip_surgery.surgery.affinity import centred_softmax, cut_below, patch_cosines, weighted_by
from clip_surgery.surgery.attention import key_key, mean_of, query_query
from clip_surgery.surgery.calibration import calibrated_features
from clip_surgery.surgery.diagonal_outliers import find_class_favourites
from clip_surgery.surgery.last_block import enter_last_block
from clip_surgery.surgery.outliers import check_repairable, fill_outliers, find_outliers
from clip_surgery.surgery.walk import Features
from clip_surgery.surgery.watch import Watch, token_block

LevelAttention = Literal["affinity", "all"]
Variant = Literal["paper", "released"]


@dataclass(frozen=True, kw_only=True)
class Sfp(DenseMethod):
    """The patch output of the last block is T(low) (O(mean(C, A(k, k), A(q, q)) v) + w c).

    The letters are those of `ScClip`. C is the affinity of the cosines that reach the threshold.

    Attributes:
        threshold: lowest cosine of two patches in all affinities.
        sharpness: factor on the affinity before its softmax.
        class_weight: weight w of the class token.
        class_gain: factor on the attention of the class token in the search for outliers.
        outliers: largest number of outliers per image.
        levels: whether the second stream, on the sum of levels, is added.
        level_attention: attention of the second stream. "affinity": C alone. "all": as on patches.
        variant: "paper" keeps an outlier whose neighbours are all outliers; "released" makes it
            zero, as the released code does.
        repair_outliers: whether the outliers are those of `surgery.outliers` instead.

    Raises:
        InputError: if a setting is outside of its range.
        UnknownNameError: if level_attention or variant is unknown.
    """

    name = "sfp"
    paper = "SFP (ICCV 2025)"
    needs: ClassVar[frozenset[Part]] = REPAIR_NEEDS

    threshold: float = 0.4
    sharpness: float = 3.0
    class_weight: float = 0.3
    class_gain: float = 1.5
    outliers: int = 10
    levels: bool = True
    level_attention: LevelAttention = "affinity"
    variant: Variant = "paper"

    def __post_init__(self) -> None:
        super().__post_init__()
        for setting, names in (("level_attention", LevelAttention), ("variant", Variant)):
            if getattr(self, setting) not in get_args(names):
                raise UnknownNameError.among(setting, getattr(self, setting), get_args(names))
        if not 0 <= self.threshold <= 1:
            raise InputError(f"Expected threshold in [0, 1], but got {self.threshold}.")
        if not 0 < self.sharpness < float("inf"):
            raise InputError(f"Expected sharpness above 0, but got {self.sharpness}.")
        for setting in ("class_weight", "class_gain", "outliers"):
            if not 0 <= getattr(self, setting) < float("inf"):
                raise InputError(
                    f"Expected {setting} of 0 or more, but got {getattr(self, setting)}."
                )

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features of the purified last block.

        Raises:
            UnsupportedModelError: if the tower has no class token or fewer than two blocks.
        """
        check_repairable(tower)
        blocks, prefix = len(tower.blocks), tower.prefix_tokens
        levels = LEVELS if self.levels else None
        watch = Watch(tokens=(MIDDLE, LOW), heads=(1 - 1 / blocks,), levels=levels)
        last = enter_last_block(tower, pixels, watch)
        heads = last.seen.heads[blocks - 1]
        if self.repair_outliers:
            outliers = find_outliers(heads)
        else:
            outliers = find_class_favourites(heads, gain=self.class_gain, limit=self.outliers)

        def repaired(patches: Tensor) -> Tensor:
            return fill_outliers(
                patches, outliers, last.grid, zero_if_isolated=self.variant == "released"
            )

        middle = last.seen.tokens[token_block(MIDDLE, blocks)][:, prefix:]
        cosines = cut_below(patch_cosines(repaired(middle)), self.threshold)
        by_affinity = weighted_by(centred_softmax(cosines, sharpness=self.sharpness))
        rule = mean_of(by_affinity, key_key, query_query)
        return calibrated_features(
            last,
            patches=repaired(last.patches),
            middle_cosines=cosines,
            low_patches=last.seen.tokens[token_block(LOW, blocks)][:, prefix:],
            rule=rule,
            level_rule=by_affinity if self.level_attention == "affinity" else rule,
            class_weight=self.class_weight,
            threshold=self.threshold,
        )
