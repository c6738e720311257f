"""Answers: what a visit says, computed from what is kept; no model runs here."""

from __future__ import annotations

from typing import Any

from PIL.Image import Image
from torch import Tensor

from clip_surgery.apps.page.sessions import Session, at_size, shrunk
from clip_surgery.explanation import Explanation
from clip_surgery.figures.maps import figure
from clip_surgery.records.explanations import DIGITS, records
from clip_surgery.records.regions import points_record
from clip_surgery.records.texts import tags_record
from clip_surgery.tasks.boxes import Box, boxes
from clip_surgery.tasks.heatmaps import Contrast, heatmaps
from clip_surgery.tasks.points import Points, points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import Background, segment
from clip_surgery.tasks.tags import Tag, TagScore, tags

DRAWN_SIDE = 640
"""Longer side of the pictures in a saved figure, in pixels."""


def maps(visit: Session, contrast: Contrast, *, side: int) -> Tensor:
    """The maps (C, H, W) in [0, 1], their longer side at most `side` pixels."""
    small = shrunk(visit.picture, side).size
    return heatmaps(at_size(visit.explanation, small), contrast=contrast)[0]


def clicks(
    explanation: Explanation, min_presence: float | None = None
) -> dict[str, tuple[Points, list[Box]]]:
    """Points and boxes of each word, in pixels of the explanation's picture."""
    return {
        text: (
            points(explanation, text, mode="peaks", min_presence=min_presence)[0],
            boxes(explanation, text, min_presence=min_presence)[0],
        )
        for text in explanation.texts
    }


def segmentation(visit: Session, background: Background = "none") -> Tensor:
    """The class of every pixel of the kept picture (H, W), an index of the words or -1 for none.

    Raises:
        InputError: when the method has no dense similarity.
        UnknownNameError: for an unknown background.
    """
    return segment(visit.shown, background=background)[0]


def likely_tags(
    explanation: Explanation, *, score: TagScore = "surgery", top: int | None = None
) -> list[tuple[Tag, float]]:
    """Words by score, best first, each with how likely it is in the picture at all."""
    likely = dict(zip(explanation.texts, presence(explanation)[0].tolist(), strict=True))
    return [(tag, likely[tag.text]) for tag in tags(explanation, score=score, top=top)[0]]


def record(explanation: Explanation) -> dict[str, Any]:
    """What was found in the picture, ready for JSON: scores, presence and peaks."""
    [found] = records(explanation)
    likely = presence(explanation)[0].tolist()
    texts = [
        {**text, "presence": round(share, DIGITS)}
        for text, share in zip(found["texts"], likely, strict=True)
    ]
    return {**found, "texts": texts}


def points_answer(explanation: Explanation, min_presence: float | None = None) -> dict[str, Any]:
    """Clicks and boxes of every word, ready for JSON."""
    found = clicks(explanation, min_presence)
    return dict(
        points_record(
            explanation, [([text], own, {text: cut}) for text, (own, cut) in found.items()]
        )
    )


def everything(visit: Session) -> dict[str, Any]:
    """All that the page says of the picture, ready for JSON."""
    explanation = visit.explanation
    return {
        "explanation": record(explanation),
        "objects": points_answer(explanation)["objects"],
        "tags": tags_record(explanation, tags(explanation)[0])["tags"],
    }


def drawing(visit: Session, *, contrast: Contrast = "text", opacity: float = 0.75) -> Image:
    """The maps as one figure."""
    picture = shrunk(visit.picture, DRAWN_SIDE)
    explanation = at_size(visit.explanation, picture.size)
    likely = presence(explanation)[0].tolist()
    return figure(
        picture,
        heatmaps(explanation, contrast=contrast)[0],
        explanation.texts,
        notes=[f"{share:.0%} likely in the picture" for share in likely],
        heading=f"{picture.name} · {explanation.method} · {explanation.backbone}",
        opacity=opacity,
    )
