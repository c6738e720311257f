"""Masks: points, boxes or the map itself shown to a segmenter such as SAM.

Source: CLIP Surgery (arXiv 2304.05653), text to points to SAM: no click by hand, and of the masks
SAM proposes the one it rates highest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.image_lists import as_image_list
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.segmenters.segmenter import Prompt, Segmenter
from clip_surgery.tasks.boxes import Box, BoxRule, boxes
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.point_rules import PointRule
from clip_surgery.tasks.points import PointMode, Points, points

PromptKind = Literal["points", "box", "map"]
_LOGIT = 10.0  # SAM's own mask logits reach about so far on either side of 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """The object of a text, cut out.

    Attributes:
        text: which text; several as one object are joined by "+".
        mask: (H, W) bool at the image's size.
        score: the segmenter's own rating.
        points: what it was shown, and that it may be drawn; empty when points were not used.
        box: the box it was shown, or None.
    """

    text: str
    mask: Tensor
    score: float
    points: Points
    box: Box | None


def masks(
    explanation: Explanation,
    images: Sequence[ImageSource | InputImage] | ImageSource | InputImage,
    texts: str | Sequence[str | Sequence[str]],
    segmenter: Segmenter,
    *,
    prompt_kinds: Sequence[PromptKind] = ("points",),
    mode: PointMode | PointRule = "peaks",
    box_rule: BoxRule | None = None,
    min_presence: float | None = None,
) -> list[list[Mask | None]]:
    """One mask per image and text; None where a text gives no prompt (absent, or a flat map).

    Args:
        explanation: made for these texts in these images.
        images: the images of the explanation, in its order; a single image is accepted as well.
        texts: one text, or several; an entry that is itself several texts is one object.
        segmenter: such as `SamSegmenter`; it is called once an image.
        prompt_kinds: what it is shown: "points", the best "box" and the "map" as a rough mask.
        mode: how points are chosen, as for `points`.
        box_rule: how the box is cut, as for `boxes`.
        min_presence: texts less likely in the image than this have no mask.

    Raises:
        InputError: if images are not those of the explanation, if no text or prompt kind is
            given, or as for `points`.
        UnknownNameError: for a text the explanation was not made for, or an unknown prompt kind.
    """
    images = as_image_list(images)
    if len(images) != len(explanation):
        raise InputError(
            f"Expected the {len(explanation)} explained images, but got {len(images)}."
        )
    if not prompt_kinds:
        raise InputError("Expected at least one prompt kind, but got none.")
    for prompt_kind in prompt_kinds:
        if prompt_kind not in get_args(PromptKind):
            raise UnknownNameError.among("prompt_kind", prompt_kind, get_args(PromptKind))
    objects = [
        (entry,) if isinstance(entry, str) else tuple(entry)
        for entry in ([texts] if isinstance(texts, str) else texts)
    ]
    if not objects:
        raise InputError("Expected at least one text, but got an empty list.")
    found = []
    for part, image in zip(explanation, images, strict=True):
        picture = read_image(image, name=part.images[0])
        if picture.size != part.framings[0].original:
            raise InputError(
                f"{picture.name}: expected the explained image of "
                f"{tuple(part.framings[0].original)} (height, width), but got {picture.size}."
            )
        shown = [
            _Shown.of(part, own, prompt_kinds, mode, box_rule, min_presence) for own in objects
        ]
        asked = [one.prompt for one in shown if one.prompt is not None]
        answers = iter(segmenter(picture, asked) if asked else [])
        row: list[Mask | None] = []
        for one, own in zip(shown, objects, strict=True):
            if one.prompt is None:
                row.append(None)
                continue
            candidates = next(answers)
            best = int(candidates.scores.argmax())
            row.append(
                Mask(
                    text="+".join(own),
                    mask=candidates.masks[best],
                    score=float(candidates.scores[best]),
                    points=one.points,
                    box=one.box,
                )
            )
        found.append(row)
    return found


@dataclass(frozen=True, eq=False)
class _Shown:
    """The prompt_kinds of one object in one image; no prompt where there are none."""

    points: Points
    box: Box | None
    prompt: Prompt | None

    @classmethod
    def of(
        cls,
        explanation: Explanation,
        texts: tuple[str, ...],
        prompt_kinds: Sequence[PromptKind],
        mode: PointMode | PointRule,
        box_rule: BoxRule | None,
        min_presence: float | None,
    ) -> _Shown:
        [clicks] = points(explanation, texts, mode=mode, min_presence=min_presence)
        if not len(clicks.positives):
            return cls(clicks, None, None)
        if "points" not in prompt_kinds:
            clicks = Points(xy=np.zeros((0, 2), np.float32), labels=np.zeros(0, np.int64))
        box = None
        if "box" in prompt_kinds:
            found = [box for text in texts for box in boxes(explanation, text, rule=box_rule)[0]]
            box = max(found, key=lambda one: one.score, default=None)
        logits = None
        if "map" in prompt_kinds:
            maps = heatmaps(explanation.only(texts))[0]
            logits = _LOGIT * (2 * maps.amax(dim=0) - 1)
        if not len(clicks) and box is None and logits is None:
            return cls(clicks, None, None)
        prompt = Prompt(
            xy=clicks.xy,
            labels=clicks.labels,
            box=None if box is None else box.xyxy,
            logits=logits,
        )
        return cls(clicks, box, prompt)
