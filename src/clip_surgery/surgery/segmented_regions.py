"""Regions of an image by a segmenter that is prompted with a grid of points.

Source: the automatic masks of Segment Anything (arXiv 2304.02643), with the settings of CorrCLIP
(arXiv 2411.10086): of each point the mask that the segmenter rates best, without masks that are
rated low and without copies of a better one. The larger of two masks takes the pixels of both, as
in the released code of CorrCLIP. The stability of a mask is not tested, because a `Segmenter` gives
no logits.

Letters: N masks, H and W the image in pixels.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.inputs.images import InputImage
from clip_surgery.segmenters.segmenter import Prompt, Segmenter

SAME_BOX = 0.7
"""Masks whose boxes have more than this intersection over union are copies of each other."""


def segmented_regions(
    segmenter: Segmenter, image: InputImage, *, points_per_side: int = 8, min_score: float = 0.4
) -> Tensor:
    """Return the number of the region of each pixel (H, W) int64, 0 where there is none.

    Args:
        segmenter: called once, with one prompt for each point.
        image: the image.
        points_per_side: number of rows and columns of points, at the centres of equal cells.
        min_score: lowest rating of a mask by the segmenter.

    Returns:
        Regions are numbered from 1 by their area, the smallest first. A region that larger ones
        cover has no pixel.

    Raises:
        InputError: if the segmenter returns something else than one entry for each prompt, with
            masks of the size of the image.
    """
    height, width = image.size
    centres = (np.arange(points_per_side) + 0.5) / points_per_side
    prompts = [
        Prompt(
            xy=np.array([[x * width, y * height]], dtype=np.float32),
            labels=np.array([1], dtype=np.int64),
        )
        for y, x in product(centres, centres)
    ]
    candidates = segmenter(image, prompts)
    if len(candidates) != len(prompts):
        raise InputError(
            f"{image.name}: expected {len(prompts)} results of the segmenter, "
            f"but got {len(candidates)}."
        )
    rated = []
    for candidate in candidates:
        if tuple(candidate.masks.shape[1:]) != (height, width):
            raise InputError(
                f"{image.name}: expected masks of {(height, width)} from the segmenter, "
                f"but got {tuple(candidate.masks.shape[1:])}."
            )
        best = int(candidate.scores.argmax())
        mask, score = candidate.masks[best].bool().cpu(), float(candidate.scores[best])
        if score >= min_score and bool(mask.any()):  # false for NaN
            rated.append((score, mask))
    regions = torch.zeros(height, width, dtype=torch.int64)
    masks = _without_copies([mask for _, mask in sorted(rated, key=lambda pair: -pair[0])])
    for number, mask in enumerate(sorted(masks, key=lambda mask: int(mask.sum())), start=1):
        regions[mask] = number
    return regions


def image_of_pixels(pixels: Tensor, name: str) -> InputImage:
    """Return pixels (3, H, W) in [0, 1], rounded to 8 bits, as an image."""
    values = (pixels.detach().float().clamp(0, 1) * 255).round().byte()
    rgb = Image.fromarray(values.permute(1, 2, 0).contiguous().cpu().numpy())
    return InputImage(image=rgb, name=name)


def _without_copies(masks: list[Tensor]) -> list[Tensor]:
    """The masks, the best first, whose box is not that of a better one."""
    kept: list[Tensor] = []
    boxes: list[tuple[int, int, int, int]] = []
    for mask in masks:
        box = _box(mask)
        if all(_overlap(box, other) <= SAME_BOX for other in boxes):
            kept.append(mask)
            boxes.append(box)
    return kept


def _box(mask: Tensor) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of a mask that is not empty; the last two are outside."""
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def _overlap(first: tuple[int, int, int, int], second: tuple[int, int, int, int]) -> float:
    """Intersection over union of two boxes."""
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    common = max(height, 0) * max(width, 0)
    areas = sum((bottom - top) * (right - left) for top, left, bottom, right in (first, second))
    return common / (areas - common)
