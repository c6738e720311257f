"""Attention of earlier blocks, applied to the values of the last block.

Source: ResCLIP (arXiv 2411.15851) and ITACLIP (2411.12044). No attention matrix is stored: the mean
of matrices times the values is the mean of fused attentions. The walk must be asked to keep the
heads of the blocks (see `surgery.watch`).
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from clip_surgery.surgery.attention import AttentionRule, Heads, mean_of
from clip_surgery.surgery.watch import head_block


def with_earlier_heads(rule: AttentionRule, fractions: tuple[float, ...]) -> AttentionRule:
    """Return the mean over blocks of a rule on their queries and keys, and the present values.

    Args:
        rule: an attention rule, for example `query_key`.
        fractions: the blocks, as fractions of the depth; a block that is named twice counts twice.
    """

    def from_block(fraction: float) -> AttentionRule:
        def attend_as_block(heads: Heads) -> Tensor:
            earlier = heads.seen.heads[head_block(fraction, heads.seen.blocks)]
            return rule(replace(heads, query=earlier.query, key=earlier.key, scale=earlier.scale))

        return attend_as_block

    return mean_of(*(from_block(fraction) for fraction in fractions))


def blend(first: AttentionRule, second: AttentionRule, share: float) -> AttentionRule:
    """Return the rule (1 - share) first + share second."""
    return lambda heads: (1 - share) * first(heads) + share * second(heads)
