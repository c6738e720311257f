"""Tags: which of the texts are in the image, several at once, with a score each.

Source: CLIP Surgery (arXiv 2304.05653), multi-label recognition: feature surgery on the class
feature. With c the similarity of image and texts and w = softmax(tau c) / mean,

    reference  c' = w c - mean(w c)          paper  c' = c - mean(w c)

which for the class feature is what `feature_surgery` does for a patch. The baseline is CLIP's own
softmax(100 c), under which texts compete: of two objects in one image one takes nearly all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.surgery.features import Weighting, feature_surgery
from clip_surgery.tasks.presence import presence, texts_present

TagScore = Literal["surgery", "softmax", "presence", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One text found in an image, with its score; higher is surer."""

    text: str
    score: float


def tags(
    explanation: Explanation,
    *,
    score: TagScore = "surgery",
    threshold: float | None = None,
    top: int | None = None,
    min_presence: float | None = None,
) -> list[list[Tag]]:
    """The texts found in each image, best first.

    Args:
        explanation: made for the candidate texts.
        score: what ranks them, see `tag_scores`.
        threshold: texts with a lower score are left out; None leaves none out.
        top: how many an image gives at most.
        min_presence: texts less likely in the image than this are left out.

    Raises:
        InputError: when top is below 1, min_presence is not within 0 to 1, or presence is asked
            of an explanation made without a vocabulary.
        UnknownNameError: for another score.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow", "sheep"])
        >>> len(tags(explanation, top=2)[0])
        2
    """
    if top is not None and top < 1:
        raise InputError(f"Expected top of at least 1 text, but got {top}.")
    likely = texts_present(explanation, min_presence)
    found = []
    for scores, wanted in zip(tag_scores(explanation, score=score), likely, strict=True):
        listed = [
            Tag(text=text, score=value)
            for text, value, is_wanted in zip(
                explanation.texts, scores.tolist(), wanted.tolist(), strict=True
            )
            if is_wanted and (threshold is None or value >= threshold)
        ]
        found.append(sorted(listed, key=lambda tag: -tag.score)[:top])
    return found


def tag_scores(
    explanation: Explanation,
    *,
    score: TagScore = "surgery",
    weighting: Weighting = "reference",
    temperature: float = 2.0,
    softmax_scale: float = 100.0,
) -> Tensor:
    """A score for every text in every image, (B, C).

    "surgery" compares a text with the others asked for and is 0 for a text alone; "softmax" is
    CLIP's own, sums to 1 over the texts; "presence" compares with the vocabulary; "cosine" with
    nothing.

    Raises:
        InputError: when presence is asked of an explanation made without a vocabulary.
        UnknownNameError: for another score or weighting.
    """
    if score not in get_args(TagScore):
        raise UnknownNameError.among("score of tags", score, get_args(TagScore))
    cosines = explanation.image_scores.float()
    if score == "presence":
        return presence(explanation)
    if score == "softmax":
        return (softmax_scale * cosines).softmax(dim=-1)
    if score == "cosine" or not len(cosines):
        return cosines
    # the class feature is treated as one more patch (B, 1, C)
    surgery = feature_surgery(
        cosines[:, None], cosines, temperature=temperature, weighting=weighting
    )
    return surgery[:, 0]
