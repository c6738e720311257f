"""Answers: what the tasks found in one image, as plain values for JSON.

Points, boxes and masks are in `places`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from clip_surgery.explanation import Explanation
from clip_surgery.records.explanations import DIGITS, SizeRecord
from clip_surgery.tasks.inspection import AttentionMap, SharedSimilarity
from clip_surgery.tasks.tags import Tag
from clip_surgery.word_explanation import WordExplanation


class ImageRecord(TypedDict):
    """Which image, and what explained it."""

    image: str
    size: SizeRecord
    backbone: str
    method: str


class TagRecord(TypedDict):
    """A text found in an image."""

    text: str
    score: float


class TagsRecord(ImageRecord):
    """The texts found in one image, best first."""

    tags: list[TagRecord]


class WordRecord(TypedDict):
    """A word of the sentence; kind is "word", "start" or "end"."""

    text: str
    kind: str
    score: float


class WordsRecord(ImageRecord):
    """The words of a sentence in its order, and the words alone from the best on."""

    sentence: str
    evidence: str
    words: list[WordRecord]
    ranking: list[str]


class AttentionRecord(TypedDict):
    """What one patch (row, column) attends to: the share of every patch, row by row."""

    kind: str
    patch: list[int]
    weights: list[list[float]]


class InspectionRecord(ImageRecord):
    """The two findings: attention of a point, and what the empty text explains of each text."""

    point: list[float]
    attention: list[AttentionRecord]
    explained_by_empty_text: dict[str, float]


def image_record(explanation: Explanation) -> ImageRecord:
    """Which image an explanation of one is of."""
    original = explanation.framings[0].original
    return {
        "image": explanation.images[0],
        "size": {"height": original.height, "width": original.width},
        "backbone": explanation.backbone,
        "method": explanation.method,
    }


def tags_record(explanation: Explanation, tags: Sequence[Tag]) -> TagsRecord:
    """The tags of one image."""
    listed: list[TagRecord] = [
        {"text": tag.text, "score": round(tag.score, DIGITS)} for tag in tags
    ]
    return {**image_record(explanation), "tags": listed}


def words_record(found: WordExplanation) -> WordsRecord:
    """The words of a sentence in one image."""
    parts = zip(found.words, found.kinds, found.scores.tolist(), strict=True)
    return {
        **image_record(found.explanation),
        "sentence": found.sentence,
        "evidence": found.evidence,
        "words": [
            {"text": text, "kind": kind, "score": round(score, DIGITS)}
            for text, kind, score in parts
        ],
        "ranking": [word.text for word in found.ranking()],
    }


def inspection_record(
    redundancy: SharedSimilarity, attention: Sequence[AttentionMap]
) -> InspectionRecord:
    """Attention of one point and redundancy of one image."""
    texts = redundancy.explanation.texts[:-1]  # the last is the empty one
    return {
        **image_record(redundancy.explanation),
        "point": [round(value, 1) for value in attention[0].point],
        "attention": [
            {
                "kind": one.kind,
                "patch": list(one.patch),
                "weights": np.round(one.weights.numpy().astype(np.float64), DIGITS).tolist(),
            }
            for one in attention
        ],
        "explained_by_empty_text": {
            text: round(share, DIGITS)
            for text, share in zip(texts, redundancy.shares.tolist(), strict=True)
        },
    }
