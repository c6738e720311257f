"""Masks of objects, cut out by a segmenter such as SAM from points, a box or the map of a text.

Source: CLIP Surgery (arXiv 2304.05653), text to points to SAM. Of the masks that the segmenter
proposes for a prompt, the one with its highest score is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.inputs.image_lists import as_image_list
from clip_surgery.inputs.images import ImageSource, InputImage, read_image
from clip_surgery.segmenters.segmenter import Candidates, Prompt, Segmenter
from clip_surgery.tasks.boxes import Box, BoxRule, boxes
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.image_points import checked_point
from clip_surgery.tasks.point_rules import PointRule
from clip_surgery.tasks.points import NO_POINTS, PointRuleName, Points, points
from clip_surgery.tasks.text_selection import Texts, TextSelection, select_texts

PromptKind = Literal["points", "box", "map"]
_LOGIT = 10.0  # about the largest magnitude of mask logits of SAM


@dataclass(frozen=True, kw_only=True, eq=False)
class Mask:
    """The object of a text, cut out.

    Attributes:
        text: the text; the texts of a union are joined by "+".
        mask: (H, W) bool at the image's size.
        score: the segmenter's own rating.
        points: the points that the segmenter got; empty if points were not used.
        box: the box that the segmenter got, or None.
    """

    text: str
    mask: Tensor
    score: float
    points: Points
    box: Box | None


def masks(
    explanation: Explanation,
    images: Sequence[ImageSource | InputImage] | ImageSource | InputImage,
    segmenter: Segmenter,
    texts: Texts = None,
    *,
    union: bool = False,
    prompt_kinds: Sequence[PromptKind] = ("points",),
    rule: PointRuleName | PointRule = "peaks",
    box_rule: BoxRule | None = None,
    min_presence: float | None = None,
) -> list[list[Mask | None]]:
    """Return one mask per image and text, as a segmenter cuts it out.

    Args:
        explanation: explanations of B images for C texts.
        images: the images of the explanation, in its order; a single image is accepted as well.
        segmenter: for example a `SamSegmenter`; it is called once per image.
        texts: texts to use, each on its own; all texts by default. An entry that is itself a list
            of texts, or "person,man", is a union: one object with several texts.
        union: whether all texts together are one object.
        prompt_kinds: what the segmenter gets: "points", the best "box" and the "map" as a rough
            mask.
        rule: how points are chosen, as for `points`.
        box_rule: how the box is cut, as for `boxes`.
        min_presence: minimum presence probability in [0, 1]; texts below it have no mask. If None,
            presence is not checked.

    Returns:
        One entry per image, each a list of one mask per text; None where a text yields no prompt,
        because it is absent or its map is flat.

    Raises:
        InputError: if images are not those of the explanation, if no text or prompt kind is
            given, or as for `points`.
        UnknownNameError: if the explanation was not made for a text, or a prompt kind is unknown.
    """
    images = _checked_images(explanation, images)
    if not callable(segmenter):
        raise InputError(
            f"Expected a segmenter as third argument, but got {type(segmenter).__name__}."
        )
    if not prompt_kinds:
        raise InputError("Expected at least one prompt kind, but got none.")
    for prompt_kind in prompt_kinds:
        if prompt_kind not in get_args(PromptKind):
            raise UnknownNameError.among("prompt_kind", prompt_kind, get_args(PromptKind))
    selection = select_texts(explanation, texts, union=union)
    result = []
    for part, image in zip(explanation, images, strict=True):
        prompts = _prompts(part, selection, prompt_kinds, rule, box_rule, min_presence)
        shown = [prompt for prompt in prompts if prompt.prompt is not None]
        picture = read_image(image, name=part.images[0])
        if picture.size != part.framings[0].original:
            raise InputError(
                f"{picture.name}: expected the explained image of "
                f"{tuple(part.framings[0].original)} (height, width), but got {picture.size}."
            )
        answers = segmenter(picture, [p.prompt for p in shown if p.prompt]) if shown else []
        masks_of_image: list[Mask | None] = [None] * len(selection)
        for prompt, candidates in zip(shown, answers, strict=True):
            name = selection.names[prompt.number]
            masks_of_image[prompt.number] = _best_mask(name, candidates, prompt.points, prompt.box)
        result.append(masks_of_image)
    return result


def mask_at(image: InputImage, point: tuple[float, float], segmenter: Segmenter) -> Mask:
    """Return the object at a point of an image, without a text.

    Args:
        image: the image.
        point: (x, y) in pixels of the image.
        segmenter: as for `masks`.

    Raises:
        InputError: if the point is outside of the image.

    Example:
        >>> import torch
        >>> from PIL import Image
        >>> from clip_surgery.segmenters.segmenter import Candidates
        >>> def whole_image(image, prompts):
        ...     return [Candidates(masks=torch.ones(1, *image.size) > 0, scores=torch.ones(1))]
        >>> mask_at(read_image(Image.new("RGB", (8, 6))), (3, 2), whole_image).text
        'object at x 3, y 2 px'
    """
    x, y = checked_point(image, point)
    points = Points(xy=np.array([[x, y]], np.float32), labels=np.ones(1, np.int64))
    [candidates] = segmenter(image, [Prompt(xy=points.xy, labels=points.labels)])
    return _best_mask(f"object at x {x:.0f}, y {y:.0f} px", candidates, points, None)


def _best_mask(text: str, candidates: Candidates, points: Points, box: Box | None) -> Mask:
    """The candidate that the segmenter rates best."""
    best = int(candidates.scores.argmax())
    return Mask(
        text=text,
        mask=candidates.masks[best],
        score=float(candidates.scores[best]),
        points=points,
        box=box,
    )


def _checked_images(
    explanation: Explanation,
    images: Sequence[ImageSource | InputImage] | ImageSource | InputImage,
) -> list[ImageSource]:
    listed = as_image_list(images)
    if len(listed) != len(explanation):
        raise InputError(
            f"Expected the {len(explanation)} explained images, but got {len(listed)}."
        )
    return listed


class _ShownPrompt(NamedTuple):
    """The prompt of one object in one image; `prompt` is None if nothing can be shown."""

    number: int
    points: Points
    box: Box | None
    prompt: Prompt | None


def _prompts(
    explanation: Explanation,
    selection: TextSelection,
    prompt_kinds: Sequence[PromptKind],
    rule: PointRuleName | PointRule,
    box_rule: BoxRule | None,
    min_presence: float | None,
) -> list[_ShownPrompt]:
    """The prompts of all objects in one image."""
    objects = selection.texts_of(explanation)
    [points_of_objects] = points(explanation, objects, rule=rule, min_presence=min_presence)
    usable = [
        number
        for number, object_points in enumerate(points_of_objects)
        if len(object_points.positives)
    ]
    boxes_of_objects: dict[int, list[Box]] = {}
    if "box" in prompt_kinds and usable:
        [boxes_of_usable] = boxes(
            explanation,
            [objects[number] for number in usable],
            rule=box_rule,
            min_presence=min_presence,
        )
        boxes_of_objects = dict(zip(usable, boxes_of_usable, strict=True))
    prompts = []
    for number, object_points in enumerate(points_of_objects):
        box = next(iter(boxes_of_objects.get(number, [])), None)
        shown = object_points if "points" in prompt_kinds else NO_POINTS
        logits = None
        if "map" in prompt_kinds and len(object_points.positives):
            [maps] = heatmaps(explanation, [objects[number]])
            logits = _LOGIT * (2 * maps[0] - 1)
        prompt = None
        if len(object_points.positives) and (len(shown) or box is not None or logits is not None):
            prompt = Prompt(
                xy=shown.xy,
                labels=shown.labels,
                box=None if box is None else box.xyxy,
                logits=logits,
            )
        prompts.append(_ShownPrompt(number, shown, box, prompt))
    return prompts
