"""Matches of images with texts or other images as plain values for JSON."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

import numpy as np
from torch import Tensor

from clip_surgery.inputs.images import InputImage
from clip_surgery.records.explanations import DIGITS, SizeRecord
from clip_surgery.tasks.match import Match


class SumRecord(TypedDict):
    """A similarity or a margin as the sum of what patches and the rest add."""

    total: float
    patches: list[list[float]]
    rest: float


class MatchRecord(TypedDict):
    """Why an image matches a query; `words` for a sentence, `pairs` for an image."""

    image: str
    size: SizeRecord
    backbone: str
    query: str
    rank: NotRequired[int]
    similarity: SumRecord
    words: NotRequired[list[dict[str, Any]]]
    pairs: NotRequired[list[dict[str, Any]]]
    rival: NotRequired[str]
    rival_similarity: NotRequired[SumRecord]
    margin: NotRequired[SumRecord]


def match_record(image: InputImage, match: Match, *, backbone: str, top: int = 5) -> MatchRecord:
    """Return the record of a match.

    Args:
        image: the matched image.
        match: the match.
        backbone: name of the model.
        top: maximum number of pairs of patches.
    """
    record: MatchRecord = {
        "image": image.name,
        "size": {"height": image.size.height, "width": image.size.width},
        "backbone": backbone,
        "query": match.query,
        "similarity": _sum(match.similarity, match.patch_scores(), match.rest),
    }
    if match.words is not None:
        record["words"] = [
            {"text": word, "score": round(score, DIGITS)}
            for word, score in match.word_scores().items()
        ]
    else:
        record["pairs"] = [
            {
                "query_patch": list(pair.query_patch),
                "patch": list(pair.patch),
                "score": round(pair.score, DIGITS),
            }
            for pair in match.best_pairs(top)
        ]
    if match.rival is not None:
        rival = match.rival
        record["rival"] = rival.query
        record["rival_similarity"] = _sum(rival.similarity, rival.patch_scores(), rival.rest)
        record["margin"] = _sum(match.margin(), match.margin_scores(), match.margin_rest())
    return record


def _sum(total: float, patches: Tensor, rest: float) -> SumRecord:
    values = np.round(patches.numpy().astype(np.float64), DIGITS)
    return {
        "total": round(total, DIGITS),
        "patches": values.tolist(),
        "rest": round(rest, DIGITS),
    }
