"""The class of every pixel, for many images at once: the masks of instances and batch rows.

Images of one size are processed together, which pays the fixed cost of many small operations once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Size
from clip_surgery.tasks.cell_argmax import argmax_of_resized
from clip_surgery.tasks.map_resize import MapResize

_PIXELS = 2**24
"""Pixels of the images that are processed together, at most."""


def class_maps(
    explanation: Explanation, classes: Sequence[tuple[tuple[int, int], ...]]
) -> Iterator[tuple[int, Tensor]]:
    """Yield (index of an image, class (H, W) of every pixel), for images with a class.

    Args:
        explanation: explanations of B images by a method with a dense similarity.
        classes: for each image (class, position of a text) of each text that competes.

    Yields:
        Whole numbers of int16, int32 or int64, whose columns are contiguous in memory.

    Raises:
        InputError: if the method has no dense similarity, or a score is not finite.
    """
    similarity = require_similarity(explanation)
    alike: dict[tuple[Any, ...], list[int]] = {}
    for image, (framing, maps, of_image) in enumerate(
        zip(explanation.framings, similarity, classes, strict=True)
    ):
        if not maps.isfinite().all():
            raise InputError(f"{explanation.images[image]}: expected finite similarities.")
        if of_image:
            alike.setdefault((framing, maps.shape, of_image), []).append(image)
    for (framing, shape, of_images), images in alike.items():
        resize = MapResize.of(framing, Size(*shape[1:]), device=similarity[images[0]].device)
        step = max(1, _PIXELS // (resize.size.height * resize.size.width))
        for start in range(0, len(images), step):
            part = images[start : start + step]
            scores = torch.stack([similarity[image].detach().float() for image in part])
            yield from zip(part, _classes_of_pixels(scores, of_images, resize), strict=True)


def require_similarity(explanation: Explanation) -> tuple[Tensor, ...]:
    """Return the similarity of an explanation.

    Raises:
        InputError: if its method has no dense similarity.
    """
    if explanation.similarity is None:
        raise InputError(
            f"Expected a method with a dense similarity, but {explanation.method} has none."
        )
    return explanation.similarity


def _classes_of_pixels(
    scores: Tensor, classes: tuple[tuple[int, int], ...], resize: MapResize
) -> Tensor:
    """Classes (b, H, W) of images of one framing, from similarities (b, C, rows, columns)."""
    positions = torch.tensor([position for _, position in classes], device=scores.device)
    number = argmax_of_resized(scores.index_select(1, positions), resize).number
    if all(index == class_number for index, (class_number, _) in enumerate(classes)):
        return number
    class_numbers = torch.tensor([number for number, _ in classes], device=scores.device)
    by_column = number.transpose(1, 2)
    mapped = class_numbers.index_select(0, by_column.flatten().int())
    return mapped.view(by_column.shape).transpose(1, 2)
