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

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.surgery.features import Weighting, feature_surgery
from clip_surgery.tasks.presence import presence, presence_p_values, texts_present
from clip_surgery.tasks.text_selection import Texts, select_texts

TagScore = Literal["surgery", "softmax", "presence", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One text in an image, with its score; a higher score is more certain."""

    text: str
    score: float


def tags(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    score: TagScore = "surgery",
    threshold: float | None = None,
    top: int | None = None,
    min_presence: float | None = None,
    false_discovery_rate: float | None = None,
) -> list[list[Tag]]:
    """Return the texts of each image with their scores, best first.

    Args:
        explanation: explanations of B images for the C candidate texts.
        texts: texts that may be returned; all texts by default. Scores are computed among all
            texts of the explanation. A union is one tag, with the highest score of its texts.
        union: whether all texts together are one tag.
        score: what ranks them, see `tag_scores`.
        threshold: minimum score. If None, no text is left out.
        top: maximum number of tags of an image.
        min_presence: minimum presence probability in [0, 1]; texts below it are left out. If None,
            presence is not checked.
        false_discovery_rate: share of tags, in (0, 1], that may be absent from the image on
            average, before `threshold` and `top` (`presence_p_values` with `adjust`). It needs a
            calibrated model. If None, it is not checked.

    Returns:
        One list of tags per image.

    Raises:
        InputError: if top is below 1, min_presence or false_discovery_rate is not within 0 to 1, or
            presence is needed and the explanation was made without a vocabulary or calibration.
        UnknownNameError: if the score is unknown, or the explanation was not made for a text.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow", "sheep"])
        >>> len(tags(explanation, top=2)[0])
        2
    """
    if top is not None and top < 1:
        raise InputError(f"Expected top of at least 1 text, but got {top}.")
    selection = select_texts(explanation, texts, union=union)
    scores = selection.take(tag_scores(explanation, score=score))
    present = selection.take(texts_present(explanation, min_presence)).to(scores.device)
    scores = selection.unite(scores.masked_fill(~present, float("-inf")))
    kept = selection.unite(present.to(torch.uint8)).bool()
    if false_discovery_rate is not None:
        kept &= _discovered(explanation, texts, union, false_discovery_rate).to(kept.device)
    if threshold is not None:
        kept &= scores >= threshold
    ranked, order = scores.masked_fill(~kept, float("-inf")).sort(
        dim=-1, descending=True, stable=True
    )
    result = []
    for values, indices, count in zip(ranked, order, kept.sum(dim=-1).tolist(), strict=True):
        length = count if top is None else min(top, count)
        result.append(
            [
                Tag(text=selection.names[index], score=value)
                for value, index in zip(
                    values[:length].tolist(), indices[:length].tolist(), strict=True
                )
            ]
        )
    return result


def _discovered(explanation: Explanation, texts: Texts, union: bool, rate: float) -> Tensor:
    """Return which texts are discoveries at this false discovery rate, (B, T) bool."""
    if not 0 < rate <= 1:
        raise InputError(f"Expected a false discovery rate above 0, up to 1, but got {rate}.")
    return presence_p_values(explanation, texts, union=union, adjust=True) <= rate


def tag_scores(
    explanation: Explanation,
    *,
    score: TagScore = "surgery",
    weighting: Weighting = "reference",
    temperature: float = 2.0,
    softmax_scale: float = 100.0,
) -> Tensor:
    """Return a score for every text in every image, (B, C).

    Args:
        explanation: explanations of B images for C texts.
        score: "surgery" compares a text with the other texts and is 0 for a single text. "softmax"
            is CLIP's own and sums to 1 over the texts. "presence" compares with the vocabulary.
            "cosine" compares with nothing.
        weighting: weighting of feature surgery, for "surgery".
        temperature: temperature of feature surgery, for "surgery".
        softmax_scale: factor on cosines, for "softmax".

    Raises:
        InputError: if the score is "presence" and the explanation was made without a vocabulary.
        UnknownNameError: if the score or the weighting is unknown.
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
