"""Results that are computed from a session; the model does not run here."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from clip_surgery.apps.page.sessions import Session, at_size, within
from clip_surgery.explanation import Explanation
from clip_surgery.records.explanations import DIGITS, records
from clip_surgery.records.instances import instances
from clip_surgery.records.regions import points_record
from clip_surgery.tasks.boxes import Box
from clip_surgery.tasks.heatmaps import Contrast, heatmaps
from clip_surgery.tasks.points import Points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import Background, segment
from clip_surgery.tasks.tags import Tag, TagScore, tags


def maps(session: Session, contrast: Contrast, *, side: int) -> Tensor:
    """Return the maps (C, H, W) in [0, 1], with a longer side of at most `side` pixels."""
    size = within(session.image.size, side)
    return heatmaps(at_size(session.explanation, size), contrast=contrast)[0]


def points_and_boxes(
    explanation: Explanation, min_presence: float | None = None
) -> dict[str, tuple[Points, list[Box]]]:
    """Return points and boxes of each text, in pixels of the explained image."""
    [image_instances] = instances(explanation, parts=("points", "boxes"), min_presence=min_presence)
    return {entry.text: (entry.points, list(entry.boxes)) for entry in image_instances}


def segmentation(session: Session, background: Background = "none") -> Tensor:
    """Return the class of each pixel of the kept image (H, W): an index of the texts, or -1.

    Raises:
        InputError: if the method has no dense similarity.
        UnknownNameError: for an unknown background.
    """
    images = None if session.preset is None else [session.image]
    return segment(
        session.kept_explanation, background=background, preset=session.preset, images=images
    )[0]


def tags_with_presence(
    explanation: Explanation, *, score: TagScore = "surgery", top: int | None = None
) -> list[tuple[Tag, float]]:
    """Return texts by score, best first, each with the probability that it is present."""
    probabilities = dict(zip(explanation.texts, presence(explanation)[0].tolist(), strict=True))
    return [(tag, probabilities[tag.text]) for tag in tags(explanation, score=score, top=top)[0]]


def record(explanation: Explanation) -> dict[str, Any]:
    """Return scores, presence and peaks of the texts, ready for JSON."""
    [image_record] = records(explanation)
    probabilities = presence(explanation)[0].tolist()
    texts = [
        {**text, "presence": round(probability, DIGITS)}
        for text, probability in zip(image_record["texts"], probabilities, strict=True)
    ]
    return {**image_record, "texts": texts}


def points_result(explanation: Explanation, min_presence: float | None = None) -> dict[str, Any]:
    """Return points and boxes of the texts, ready for JSON."""
    by_text = points_and_boxes(explanation, min_presence)
    return dict(
        points_record(
            explanation,
            [
                ([text], text_points, {text: text_boxes})
                for text, (text_points, text_boxes) in by_text.items()
            ],
        )
    )
