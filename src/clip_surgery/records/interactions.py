"""Interactions of words and regions in one image as plain values for JSON."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from torch import Tensor

from clip_surgery.inputs.images import InputImage
from clip_surgery.records.explanations import DIGITS, SizeRecord
from clip_surgery.tasks.interactions import Interactions


class WordRegionsRecord(TypedDict):
    """A word, what it adds, and how much more it adds with each region, row by row."""

    text: str
    score: float
    regions: list[list[float]]


class InteractionsRecord(TypedDict):
    """The interactions of a sentence and an image, with the R2 on unseen masks."""

    image: str
    size: SizeRecord
    backbone: str
    sentence: str
    fit: float
    fit_without_pairs: float
    regions: list[list[float]]
    words: list[WordRegionsRecord]


def interactions_record(
    image: InputImage, interactions: Interactions, sentence: str, *, backbone: str
) -> InteractionsRecord:
    """Return the record of the interactions of a sentence and an image."""
    return {
        "image": image.name,
        "size": {"height": image.size.height, "width": image.size.width},
        "backbone": backbone,
        "sentence": sentence,
        "fit": round(interactions.fit, DIGITS),
        "fit_without_pairs": round(interactions.fit_without_pairs, DIGITS),
        "regions": _rows(interactions.region_scores),
        "words": [
            {"text": word, "score": round(score, DIGITS), "regions": _rows(pairs)}
            for word, score, pairs in zip(
                interactions.words,
                interactions.word_scores.tolist(),
                interactions.pair_scores,
                strict=True,
            )
        ],
    }


def _rows(scores: Tensor) -> list[list[float]]:
    """Return rounded scores (rows, columns) as lists."""
    rows: list[list[float]] = np.round(scores.numpy().astype(np.float64), DIGITS).tolist()
    return rows
