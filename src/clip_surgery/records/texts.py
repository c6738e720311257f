"""Tags, words and attention of one image as plain values for JSON.

The records of points, boxes and masks are in `regions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np

from clip_surgery.explanation import Explanation
from clip_surgery.records.explanations import DIGITS, SizeRecord
from clip_surgery.tasks.inspection import AttentionMap, SharedSimilarity
from clip_surgery.tasks.tags import Tag
from clip_surgery.word_explanation import WordExplanation


class ImageRecord(TypedDict):
    """Name and size of an image, and the model and method of its explanation."""

    image: str
    size: SizeRecord
    backbone: str
    method: str


class TagRecord(TypedDict):
    """A text with its score in an image."""

    text: str
    score: float


class TagsRecord(ImageRecord):
    """The tags of one image, best first."""

    tags: list[TagRecord]


class WordRecord(TypedDict):
    """A word of the sentence; kind is "word", "start" or "end".

    Words with contributions have the share of the variance that they explain.
    """

    text: str
    kind: str
    score: float
    variance_share: NotRequired[float]


class WordsRecord(ImageRecord):
    """The words of a sentence in its order, and a ranking of them, best first.

    The R2 of the sum of contributions is `fit`; it is None for other scores.
    """

    sentence: str
    evidence: str
    fit: float | None
    words: list[WordRecord]
    ranking: list[str]


class AttentionRecord(TypedDict):
    """The attention of one patch (row, column): the weight of each patch, row by row."""

    kind: str
    patch: list[int]
    weights: list[list[float]]


class InspectionRecord(ImageRecord):
    """The attention of a point, and the share of each text that the empty text explains."""

    point: list[float]
    attention: list[AttentionRecord]
    explained_by_empty_text: dict[str, float]


def image_record(explanation: Explanation) -> ImageRecord:
    """Return the fields that all records have, for the explanation of one image."""
    original = explanation.framings[0].original
    return {
        "image": explanation.images[0],
        "size": {"height": original.height, "width": original.width},
        "backbone": explanation.backbone,
        "method": explanation.method,
    }


def tags_record(explanation: Explanation, tags: Sequence[Tag]) -> TagsRecord:
    """Return the record of the tags of one image."""
    listed: list[TagRecord] = [
        {"text": tag.text, "score": round(tag.score, DIGITS)} for tag in tags
    ]
    return {**image_record(explanation), "tags": listed}


def words_record(word_explanation: WordExplanation) -> WordsRecord:
    """Return the record of the words of a sentence in one image."""
    words: list[WordRecord] = [
        {"text": text, "kind": kind, "score": round(score, DIGITS)}
        for text, kind, score in zip(
            word_explanation.words,
            word_explanation.kinds,
            word_explanation.scores.tolist(),
            strict=True,
        )
    ]
    record: WordsRecord = {
        **image_record(word_explanation.explanation),
        "sentence": word_explanation.sentence,
        "evidence": word_explanation.evidence,
        "fit": None if word_explanation.fit is None else round(word_explanation.fit, DIGITS),
        "words": words,
        "ranking": [word.text for word in word_explanation.ranking()],
    }
    if word_explanation.variance_shares is not None:
        for word, share in zip(words, word_explanation.variance_shares.tolist(), strict=True):
            word["variance_share"] = round(share, DIGITS)
    return record


def inspection_record(
    redundancy: SharedSimilarity, attention: Sequence[AttentionMap]
) -> InspectionRecord:
    """Return the record of the attention of one point and the redundancy of one image.

    Args:
        redundancy: the shares of `redundancy`, for texts of which the last one is the empty text.
        attention: the attention maps of one point, at least one.
    """
    texts = redundancy.explanation.texts[:-1]  # the last one is the empty text
    return {
        **image_record(redundancy.explanation),
        "point": [round(value, 1) for value in attention[0].point],
        "attention": [
            {
                "kind": attention_map.kind,
                "patch": list(attention_map.patch),
                "weights": np.round(
                    attention_map.weights.numpy().astype(np.float64), DIGITS
                ).tolist(),
            }
            for attention_map in attention
        ],
        "explained_by_empty_text": {
            text: round(share, DIGITS)
            for text, share in zip(texts, redundancy.shares.tolist(), strict=True)
        },
    }
