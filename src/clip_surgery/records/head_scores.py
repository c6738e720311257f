"""Contributions and attention of heads in one image as plain values for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from torch import Tensor

from clip_surgery.inputs.images import InputImage
from clip_surgery.records.explanations import DIGITS, SizeRecord
from clip_surgery.surgery.decomposed_feature import DecomposedFeature
from clip_surgery.tasks.head_attention import HeadAttention


class HeadMapRecord(TypedDict):
    """What one head adds to the cosine, and through which patches, row by row."""

    block: int
    head: int
    score: float
    patches: list[list[float]]


class DecompositionRecord(TypedDict):
    """What each part of the image tower adds to the cosine of an image and a text.

    All numbers except `cosine` and `head_maps` add up to the cosine.
    """

    image: str
    size: SizeRecord
    backbone: str
    text: str
    cosine: float
    embedding: float
    heads: list[list[float]]
    feed_forward: list[float]
    pool: float
    rest: float
    head_maps: list[HeadMapRecord]


class HeadAttentionRecord(TypedDict):
    """What a token attends to: for each block and head, the weight of each patch, row by row."""

    image: str
    size: SizeRecord
    backbone: str
    source: str
    patch: list[int] | None
    weights: list[list[list[list[float]]]]
    lengths: list[list[list[list[float]]]]
    prefix_weights: list[list[float]]


def decomposition_record(
    image: InputImage,
    parts: DecomposedFeature,
    text: str,
    feature: Tensor,
    heads: Sequence[tuple[int, int]],
    *,
    backbone: str,
) -> DecompositionRecord:
    """Return the record of a decomposed image feature for one text.

    Args:
        image: the image.
        parts: its decomposed feature.
        text: the text.
        feature: the feature of the text (1, D).
        heads: the heads whose maps belong to the record, as (block, head).
        backbone: name of the model.
    """
    scores = parts.scores(feature)
    return {
        "image": image.name,
        "size": {"height": image.size.height, "width": image.size.width},
        "backbone": backbone,
        "text": text,
        "cosine": round(float(scores.total()), DIGITS),
        "embedding": round(float(scores.embedding), DIGITS),
        "heads": _plain(scores.heads[0]),
        "feed_forward": _plain(scores.feed_forward[0]),
        "pool": round(float(scores.pool), DIGITS),
        "rest": round(float(scores.rest), DIGITS),
        "head_maps": [
            {
                "block": block,
                "head": head,
                "score": round(float(scores.heads[0, block, head]), DIGITS),
                "patches": _plain(parts.head_maps(feature, block=block, head=head)[0]),
            }
            for block, head in heads
        ],
    }


def head_attention_record(
    image: InputImage, attention: HeadAttention, *, backbone: str
) -> HeadAttentionRecord:
    """Return the record of the attention of one image."""
    return {
        "image": image.name,
        "size": {"height": image.size.height, "width": image.size.width},
        "backbone": backbone,
        "source": attention.source,
        "patch": None if attention.patch is None else list(attention.patch),
        "weights": _plain(attention.weights),
        "lengths": _plain(attention.lengths),
        "prefix_weights": _plain(attention.prefix_weights),
    }


def _plain(values: Tensor) -> list:  # type: ignore[type-arg]  # the depth is that of the tensor
    """Return the rounded values of a tensor as nested lists."""
    rounded: list = np.round(values.numpy().astype(np.float64), DIGITS).tolist()  # type: ignore[type-arg]
    return rounded
