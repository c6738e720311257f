"""Boxes: the connected regions where a text's map is high, as scored rectangles.

Regions are found at a working resolution of a few samples per patch, because a resized map holds
no more detail than its patches, for all texts of an image in one labelling. The sides of a box are
then placed between two samples where the map, which is linear between them, crosses the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.surgery.min_max import rescale_
from clip_surgery.tasks.map_resize import MapResize, tiles
from clip_surgery.tasks.presence import texts_present
from clip_surgery.tasks.regions import find_regions
from clip_surgery.tasks.score_batches import finite_scores
from clip_surgery.tasks.text_selection import Texts, TextSelection, select_texts

SAMPLES_PER_PATCH = 4
"""Default working resolution, chosen by the quality of boxes on scenes."""
_SCORES_TOGETHER = 2**20
"""Scores of the images whose maps are labelled together, at most."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle around one region.

    Attributes:
        xyxy: left, top, right, bottom in pixels of the image; right and bottom are exclusive.
        score: mean of the min-maxed map over the region, in [0, 1].
        area: pixels of the region itself.
    """

    xyxy: tuple[int, int, int, int]
    score: float
    area: int


@dataclass(frozen=True, kw_only=True)
class BoxRule:
    """How boxes are cut out of a map.

    Attributes:
        threshold: minimum level of the pixels of a region in its min-maxed map, in (0, 1].
        smallest: regions below this share of the image are left out.
        count: maximum number of boxes of a text in an image; None for all.
        samples_per_patch: working resolution, in samples along each side of a patch. The sides of
            boxes are interpolated between samples. None, or more samples than pixels, is the full
            resolution of the image.

    Raises:
        InputError: if the threshold is outside (0, 1], the share is outside [0, 1], or a number is
            below 1.
    """

    threshold: float = 0.5
    smallest: float = 0.002
    count: int | None = None
    samples_per_patch: int | None = SAMPLES_PER_PATCH

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(
                f"Expected threshold to be above 0 and at most 1, but got {self.threshold}."
            )
        if not 0 <= self.smallest <= 1:
            raise InputError(f"Expected smallest to be within 0 to 1, but got {self.smallest}.")
        if self.count is not None and self.count < 1:
            raise InputError(f"Expected count of at least 1 box, but got {self.count}.")
        if self.samples_per_patch is not None and self.samples_per_patch < 1:
            raise InputError(
                f"Expected samples_per_patch of at least 1, but got {self.samples_per_patch}."
            )


def boxes(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    rule: BoxRule | None = None,
    min_presence: float | None = None,
) -> list[list[list[Box]]]:
    """Return the boxes of each text in each image, best first.

    Args:
        explanation: explanations of B images for C texts.
        texts: texts to use, each on its own; all texts by default. An entry that is itself a list
            of texts, or "person,man", is a union: its map is the highest of their min-maxed maps.
        union: whether all texts together are one object.
        rule: threshold, smallest size, number and working resolution.
        min_presence: minimum presence probability in [0, 1]; texts below it yield no boxes, and
            cost nothing. If None, presence is not checked.

    Returns:
        One entry per image, each a list of one list of boxes per text; empty where the map is flat.

    Raises:
        InputError: if a list of texts is empty, a score is not finite, min_presence is out of
            range, or it is given and the explanation was made without a vocabulary.
        UnknownNameError: if the explanation was not made for a text.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> [[clock, cow]] = boxes(explanation)
        >>> all(0 <= box.xyxy[0] < box.xyxy[2] <= 256 for box in clock)
        True
    """
    rule = rule or BoxRule()
    selection = select_texts(explanation, texts, union=union)
    present = selection.take(texts_present(explanation, min_presence)).tolist()
    result: list[list[list[Box]]] = [[[] for _ in range(len(selection))] for _ in present]
    for framing, images in _images_of_one_framing(explanation):
        places: list[tuple[int, int]] = []  # (image, result) of each group
        groups: list[tuple[int, ...]] = []
        maps = []
        for image in images:
            numbers, of_image = _present_groups(selection, present[image])
            positions = [position for group in of_image for position in group]
            if positions:
                maps.append(finite_scores(explanation, image, positions))
                places += [(image, number) for number in numbers]
                groups += of_image
        if maps:
            used = TextSelection(names=("",) * len(groups), groups=tuple(groups))
            boxes_of_texts = _boxes(torch.cat(maps), framing, used, rule)
            for (image, number), boxes_of_text in zip(places, boxes_of_texts, strict=True):
                result[image][number] = boxes_of_text
    return result


def _images_of_one_framing(explanation: Explanation) -> Iterator[tuple[Framing, list[int]]]:
    """Images whose maps are labelled together: of one framing, with a bounded number of scores."""
    alike: dict[tuple[Framing, torch.Size], list[int]] = {}
    for image, (framing, scores) in enumerate(
        zip(explanation.framings, explanation.patch_scores, strict=True)
    ):
        alike.setdefault((framing, scores.shape), []).append(image)
    for (framing, shape), images in alike.items():
        step = max(1, _SCORES_TOGETHER // max(1, shape.numel()))
        for start in range(0, len(images), step):
            yield framing, images[start : start + step]


def _present_groups(
    selection: TextSelection, present: list[bool]
) -> tuple[list[int], list[tuple[int, ...]]]:
    """The results with a text that is present, and the positions of its present texts."""
    numbers, groups = [], []
    is_present = iter(present)
    for number, group in enumerate(selection.groups):
        kept = tuple(position for position in group if next(is_present))
        if kept:
            numbers.append(number)
            groups.append(kept)
    return numbers, groups


def _boxes(
    scores: Tensor, framing: Framing, selection: TextSelection, rule: BoxRule
) -> list[list[Box]]:
    """Boxes of one image for each result, from raw scores (M, rows, columns)."""
    grid = Size(scores.shape[1], scores.shape[2])
    size = working_size(framing, grid, rule.samples_per_patch)
    full = MapResize.of(framing, grid, device=scores.device)
    resize = MapResize.of(framing, grid, size=size, device=scores.device)
    result: list[list[Box]] = []
    for part in _result_tiles(selection, size, scores.device):
        maps = resize(scores[part.texts])
        rescale_(maps, *full.range_of(scores[part.texts]))
        levels = part.selection.unite(maps, dim=0).cpu().numpy()
        result += _boxes_of_maps(levels, framing.original, rule)
    return result


def working_size(framing: Framing, grid: Size, samples_per_patch: int | None) -> Size:
    """Return the working size of an image: a number of samples per patch, at most its own size."""
    height, width = framing.original
    if samples_per_patch is None:
        return Size(height, width)
    rows = framing.content.height * grid.height / framing.frame.height
    columns = framing.content.width * grid.width / framing.frame.width
    return Size(
        min(height, max(1, round(samples_per_patch * rows))),
        min(width, max(1, round(samples_per_patch * columns))),
    )


@dataclass(frozen=True)
class _ResultTile:
    texts: slice  # among the M texts
    selection: TextSelection


def _result_tiles(selection: TextSelection, size: Size, device: torch.device) -> list[_ResultTile]:
    """Results whose maps of (H, W) pixels are labelled together, so that memory is bounded."""
    start = 0
    parts = []
    for results in tiles(len(selection), Size(1, max(1, size.height * size.width // 8)), device):
        groups = selection.groups[results]
        stop = start + sum(map(len, groups))
        part = TextSelection(names=selection.names[results], groups=groups)
        parts.append(_ResultTile(slice(start, stop), part))
        start = stop
    return parts


def _boxes_of_maps(levels: NDArray[np.float32], original: Size, rule: BoxRule) -> list[list[Box]]:
    """Boxes of each of T maps (T, h, w), in pixels of the image."""
    count, height, width = levels.shape
    result: list[list[Box]] = [[] for _ in range(count)]
    regions = find_regions(levels, rule.threshold, original)
    left, top, right, bottom = regions.xyxy.T
    pixels = original.height * original.width / (height * width)  # of each sample
    areas = np.rint(regions.areas * pixels).astype(np.int64).clip(1)
    areas = np.minimum(areas, (right - left) * (bottom - top))
    kept = np.flatnonzero(regions.areas >= rule.smallest * height * width)
    # by map, then the best first; the last key counts most
    keys = (bottom, right, top, left, -areas, -regions.means, regions.map_numbers)
    kept = kept[np.lexsort([key[kept] for key in keys])]
    for number, area, score, xyxy in zip(
        regions.map_numbers[kept].tolist(),
        areas[kept].tolist(),
        regions.means[kept].tolist(),
        map(tuple, regions.xyxy[kept].tolist()),
        strict=True,
    ):
        result[number].append(Box(xyxy=xyxy, score=score, area=area))
    return [of_text[: rule.count] for of_text in result]
