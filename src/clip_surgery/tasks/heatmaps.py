"""Heatmaps: raw evidence per patch becomes maps of the image's own size, made to be looked at.

Two orders are known. The reference code scales the patches to [0, 1] and then resizes; the paper
(arXiv 2304.05653) resizes and then scales. The paper's is the default here: the range is then
taken inside the image (a letterbox margin has no say in it), and every map truly reaches 0
and 1 in the image, so that one threshold means the same in all of them.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing
from clip_surgery.surgery.min_max import is_flat, min_max
from clip_surgery.tasks.presence import presence

Contrast = Literal["text", "image", "none", "presence"]
Order = Literal["resize then scale", "scale then resize"]


def heatmaps(
    explanation: Explanation,
    *,
    contrast: Contrast = "text",
    order: Order = "resize then scale",
) -> list[Tensor]:
    """Maps (C, H, W) of each image at its own size, float32.

    `contrast` decides what is 0 and 1: "text" the lowest and highest of each map (each map on
    its own, an absent object looks as hot as a present one), "image" the lowest and highest over
    all texts of that image (maps can be compared), "none" leaves the raw scores, "presence"
    is "text" times how likely the text is in the image at all (an absent object stays faint).
    A flat map becomes zeros.

    Raises:
        InputError: when a score is not finite, or contrast is "presence" and the explanation was
            made without a vocabulary.
        UnknownNameError: for an unknown contrast or order.

    Example:
        >>> from clip_surgery.framing import Framing, Size
        >>> explanation = Explanation(
        ...     patch_scores=(torch.tensor([[[0.1, 0.3]]]),), similarity=None,
        ...     image_scores=torch.zeros(1, 1), texts=("dog",), images=("dog.jpg",),
        ...     framings=(Framing.squash(Size(1, 2), frame=Size(16, 32)),),
        ...     method="similarity", backbone="demo")
        >>> heatmaps(explanation)[0].tolist()
        [[[0.0, 1.0]]]
    """
    for kind, value, known in (("contrast", contrast, Contrast), ("order", order, Order)):
        if value not in get_args(known):
            raise UnknownNameError.among(kind, value, get_args(known))
    likely = presence(explanation)[..., None, None] if contrast == "presence" else None
    maps = []
    for index, framing in enumerate(explanation.framings):
        scores = finite_scores(explanation, index)
        if order == "resize then scale":
            scaled = _scale(framing.restore_map(scores), contrast)
        else:
            scaled = framing.restore_map(_scale(scores, contrast))
        maps.append(scaled if likely is None else scaled * likely[index])
    return maps


class Peak(NamedTuple):
    """The patch of most evidence: its centre (x, y) in pixels of the image, its raw score."""

    x: float
    y: float
    score: float


def peaks(explanation: Explanation) -> list[list[Peak | None]]:
    """Where each text has most evidence, per image and text; None where its map is flat.

    Raises:
        InputError: when a score is not finite.
    """
    return [
        [_peak(scores, framing) for scores in finite_scores(explanation, index)]
        for index, framing in enumerate(explanation.framings)
    ]


def finite_scores(explanation: Explanation, index: int) -> Tensor:
    """The scores (C, rows, columns) of one image, float32."""
    scores = explanation.patch_scores[index].detach().to(torch.float32)
    for text, values in zip(explanation.texts, scores, strict=True):
        if not values.isfinite().all():
            raise InputError(
                f"{explanation.images[index]}: expected finite scores for {text!r}, "
                "but some are NaN or infinite (a half-precision overflow?)."
            )
    return scores


def _scale(maps: Tensor, contrast: Contrast) -> Tensor:
    """Min-max maps (C, h, w) to [0, 1], each alone or all together."""
    if contrast == "none" or maps.numel() == 0:
        return maps
    dims = (-3, -2, -1) if contrast == "image" else (-2, -1)
    return min_max(maps, dims=dims)


def _peak(scores: Tensor, framing: Framing) -> Peak | None:
    """The peak of one map (rows, columns), among the patches whose centre lies in the image."""
    rows, columns = scores.shape
    y = (torch.arange(rows) + 0.5) * (framing.frame.height / rows)
    x = (torch.arange(columns) + 0.5) * (framing.frame.width / columns)
    inside = _within(y, framing.offset.height, framing.content.height)[:, None] & _within(
        x, framing.offset.width, framing.content.width
    )
    scores = scores.cpu().masked_fill(~inside, float("-inf"))
    seen = scores[inside]
    if seen.numel() == 0 or is_flat(seen.amin(), seen.amax()):
        return None
    row, column = divmod(int(scores.argmax()), columns)
    point = framing.restore_points(torch.stack([x[column], y[row]]))
    return Peak(x=float(point[0]), y=float(point[1]), score=float(scores[row, column]))


def _within(positions: Tensor, start: int, length: int) -> Tensor:
    return (positions >= start) & (positions < start + length)
