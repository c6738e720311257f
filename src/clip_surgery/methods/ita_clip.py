"""ITACLIP's attention: self-self attention of the last block and of three middle blocks.

Source: Aydin et al., "ITACLIP: Boosting Training-Free Semantic Segmentation with Image, Text, and
Architectural Enhancements" (arXiv 2411.12044), with the blocks of its released code. Only its
attention is used here: the views of the image, the texts of a language model and the refinement on
pixels are not part of the method. The image feature remains the model's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from clip_surgery.backbones.tower import Tower
from clip_surgery.errors import InputError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.surgery.attention import key_key, query_query, summed
from clip_surgery.surgery.earlier_attention import blend, with_earlier_heads
from clip_surgery.surgery.walk import Features, walk_two_paths
from clip_surgery.surgery.watch import Watch

MIDDLE_BLOCKS = (7 / 12, 8 / 12, 10 / 12)
"""Fractions of the depth: blocks 7, 8 and 10 of 12. In a tower of one block all are this block."""


@dataclass(frozen=True, kw_only=True)
class ItaClip(DenseMethod):
    """In the last block patches receive ((1 - m) S + m mean(S of middle blocks)) v.

    S = A(q, q) + A(k, k). The residual connection of the block is kept, its feed-forward is left
    out.

    Attributes:
        middle_share: share m of the attention of the middle blocks, in [0, 1].

    Raises:
        InputError: if middle_share is not in [0, 1].
    """

    name = "ita_clip"
    paper = "ITACLIP (arXiv 2411.12044)"

    middle_share: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.middle_share <= 1:
            raise InputError(f"Expected middle_share in [0, 1], but got {self.middle_share}.")

    def features(self, tower: Tower, pixels: Tensor) -> Features:
        """Return features with the attention of several blocks in the last block."""
        last_rule = summed(query_query, key_key)
        return walk_two_paths(
            tower,
            pixels,
            depth=1,
            rule=blend(last_rule, with_earlier_heads(last_rule, MIDDLE_BLOCKS), self.middle_share),
            repair_outliers=self.repair_outliers,
            watch=Watch(heads=MIDDLE_BLOCKS),
        )
