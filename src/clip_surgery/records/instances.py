"""Instances: the points, boxes and masks of all texts in an image as one value.

The rows of a batch, the page and writers of annotation formats use this value, so that each task
runs once for all texts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError, MissingExtraError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.records.mask_files import Rle, decode_rle, encode_classes
from clip_surgery.tasks.boxes import Box, BoxRule, boxes
from clip_surgery.tasks.class_maps import class_maps
from clip_surgery.tasks.point_rules import PointRule
from clip_surgery.tasks.points import NO_POINTS, PointRuleName, Points, points
from clip_surgery.tasks.presence import presence, texts_present
from clip_surgery.tasks.text_selection import Texts, TextSelection, select_texts

InstancePart = Literal["points", "boxes", "masks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """The points, boxes and mask of one text in one image.

    Attributes:
        text: the text; the texts of a union are joined by "+".
        index: position among the texts T of the image, for example the id of a class.
        score: cosine similarity of image and text.
        presence: probability in [0, 1] that the text is in the image; None without a vocabulary.
        points: points on the object and off it; of length 0 if there are none.
        boxes: boxes of its regions, best first.
        rle: the pixels where this text is the best of all texts in the image, as COCO run lengths;
            None if there are none.
        size: height and width of the image in pixels.
    """

    text: str
    index: int
    score: float
    presence: float | None
    points: Points
    boxes: tuple[Box, ...]
    rle: Rle | None
    size: Size

    @property
    def found(self) -> bool:
        """Whether there is a positive point, a box or a mask."""
        return bool(len(self.points.positives) or self.boxes or self.rle is not None)

    def mask(self) -> NDArray[np.bool_]:
        """Return the mask (H, W), decoded anew at each call; all false if there is none."""
        return np.zeros(self.size, np.bool_) if self.rle is None else decode_rle(self.rle)


@dataclass(frozen=True, kw_only=True, eq=False)
class Instances:
    """All instances of one image, one for each text.

    Attributes:
        image: name of the image.
        size: its height and width in pixels.
        entries: one instance for each of the T texts, in their order, found or not.

    Raises:
        InputError: if an instance is of another size.
    """

    image: str
    size: Size
    entries: tuple[Instance, ...]

    def __post_init__(self) -> None:
        for entry in self.entries:
            if entry.size != self.size:
                raise InputError(
                    f"Expected instances of {tuple(self.size)} (height, width), but {entry.text!r} "
                    f"has {tuple(entry.size)}."
                )

    def __len__(self) -> int:
        """Return the number of texts T."""
        return len(self.entries)

    def __iter__(self) -> Iterator[Instance]:
        """Iterate over the instances in the order of the texts."""
        return iter(self.entries)

    def __getitem__(self, text: str) -> Instance:
        """Return the instance of a text.

        Raises:
            UnknownNameError: if there is none.
        """
        for entry in self.entries:
            if entry.text == text:
                return entry
        raise UnknownNameError.among("text", text, (entry.text for entry in self.entries))

    @property
    def found(self) -> tuple[Instance, ...]:
        """The instances that have a positive point, a box or a mask."""
        return tuple(entry for entry in self.entries if entry.found)

    def to_supervision(self, *, masks: bool = True) -> Any:
        """Return `supervision.Detections` with one detection per box.

        Each has the box, its score as confidence, the index of the text as class_id, and in `data`
        the text as "class_name" and, with a vocabulary, its "presence". The mask is the part of
        the text's mask within the box.

        Args:
            masks: whether detections have masks, n (H, W) arrays of bool.

        Raises:
            MissingExtraError: if supervision is not installed.
        """
        try:
            from supervision import Detections
        except ImportError as error:
            raise MissingExtraError.of("supervision", "supervision") from error
        pairs = [(entry, box) for entry in self.entries for box in entry.boxes]
        if not pairs:
            return Detections.empty()
        data: dict[str, NDArray[Any]] = {"class_name": np.array([entry.text for entry, _ in pairs])}
        if all(entry.presence is not None for entry, _ in pairs):
            data["presence"] = np.array([entry.presence for entry, _ in pairs], np.float32)
        return Detections(
            xyxy=np.array([box.xyxy for _, box in pairs], np.float32),
            mask=self._masks_of_boxes() if masks else None,
            confidence=np.array([box.score for _, box in pairs], np.float32),
            class_id=np.array([entry.index for entry, _ in pairs], np.int64),
            data=data,
        )

    def _masks_of_boxes(self) -> NDArray[np.bool_]:
        """The masks (n, H, W) of all boxes."""
        result = np.zeros((sum(len(entry.boxes) for entry in self.entries), *self.size), np.bool_)
        number = 0
        for entry in self.entries:
            mask = entry.mask() if entry.boxes else None
            for box in entry.boxes:
                left, top, right, bottom = box.xyxy
                if mask is not None:
                    result[number, top:bottom, left:right] = mask[top:bottom, left:right]
                number += 1
        return result


def instances(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    parts: Sequence[InstancePart] = ("points", "boxes", "masks"),
    point_rule: PointRuleName | PointRule = "peaks",
    box_rule: BoxRule | None = None,
    min_presence: float | None = None,
) -> list[Instances]:
    """Return the points, boxes and masks of each text in each image as one value.

    Args:
        explanation: explanations of B images for C texts.
        texts: texts to use, each on its own; all texts by default. An entry that is itself a list
            of texts, or "person,man", is a union: one object with several texts.
        union: whether all texts together are one object.
        parts: what is computed, of "points", "boxes" and "masks". Masks are those of `segment`:
            each pixel belongs to the best of these texts.
        point_rule: how points are chosen, as for `points`.
        box_rule: how boxes are cut, as for `boxes`.
        min_presence: minimum presence probability in [0, 1]; texts below it have no points, boxes
            or masks, and do not take pixels from others. If None, presence is not checked.

    Returns:
        One `Instances` per image.

    Raises:
        InputError: if "masks" is requested and the method has no dense similarity, or as for
            `points`, `boxes` and `segment`.
        UnknownNameError: if a part is unknown, or the explanation was not made for a text.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> [image_instances] = instances(explanation)
        >>> [(instance.text, instance.mask().shape) for instance in image_instances]
        [('clock', (256, 256)), ('cow', (256, 256))]
    """
    for part in parts:
        if part not in get_args(InstancePart):
            raise UnknownNameError.among("part of instances", part, get_args(InstancePart))
    selection = select_texts(explanation, texts, union=union)
    groups = selection.texts_of(explanation) if texts is not None or union else None
    scores = selection.unite(selection.take(explanation.image_scores.float())).tolist()
    presences = None
    if explanation.reference_log_ratios is not None:
        presences = presence(explanation, groups).tolist()
    count = len(explanation)
    points_of_images: list[list[Points]] = [[NO_POINTS] * len(selection)] * count
    boxes_of_images: list[list[list[Box]]] = [[[]] * len(selection)] * count
    masks_of_images: list[list[Rle | None]] = [[None] * len(selection)] * count
    if "points" in parts:
        points_of_images = points(explanation, groups, rule=point_rule, min_presence=min_presence)
    if "boxes" in parts:
        boxes_of_images = boxes(explanation, groups, rule=box_rule, min_presence=min_presence)
    if "masks" in parts:
        masks_of_images = _masks(explanation, selection, min_presence)
    result = []
    for image, framing in enumerate(explanation.framings):
        entries = tuple(
            Instance(
                text=name,
                index=index,
                score=scores[image][index],
                presence=None if presences is None else presences[image][index],
                points=points_of_images[image][index],
                boxes=tuple(boxes_of_images[image][index]),
                rle=masks_of_images[image][index],
                size=framing.original,
            )
            for index, name in enumerate(selection.names)
        )
        result.append(
            Instances(image=explanation.images[image], size=framing.original, entries=entries)
        )
    return result


def _masks(
    explanation: Explanation, selection: TextSelection, min_presence: float | None
) -> list[list[Rle | None]]:
    """Run lengths of the pixels of each result in each image."""
    present = selection.take(texts_present(explanation, min_presence)).tolist()
    numbers = [number for number, group in enumerate(selection.groups) for _ in group]
    texts = list(zip(numbers, selection.positions, strict=True))
    classes = [tuple(compress(texts, of_image)) for of_image in present]
    result: list[list[Rle | None]] = [[None] * len(selection)] * len(explanation)
    for image, segmentation in class_maps(explanation, classes):
        result[image] = encode_classes(segmentation, len(selection))
    return result
