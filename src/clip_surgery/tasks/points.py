"""Points on objects and off them, as prompts for SAM.

Unlike the released code, every grid and map has an answer: a flat map gives no point instead of
points without labels, and cells of a letterbox margin are never chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing
from clip_surgery.surgery.min_max import is_flat, rescale
from clip_surgery.tasks.patch_centres import centres_in_pixels, stacked_patches_in_image
from clip_surgery.tasks.point_rules import ChosenCells, PeakPoints, PointRule, ReferencePoints
from clip_surgery.tasks.presence import texts_present
from clip_surgery.tasks.score_batches import score_batches
from clip_surgery.tasks.text_selection import Texts, TextSelection, select_texts

PointRuleName = Literal["reference", "peaks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Points in one image, in the form that SamPredictor.predict takes.

    Attributes:
        xy: (M, 2) float32, pixels of the image, x before y.
        labels: (M,) int64, 1 on the object, 0 off it.

    Raises:
        InputError: if the shapes do not agree or a label is neither 0 nor 1.
    """

    xy: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2 or self.labels.shape != self.xy.shape[:1]:
            raise InputError(
                "Expected points (M, 2) and as many labels, "
                f"but got {self.xy.shape} and {self.labels.shape}."
            )
        if not {0, 1}.issuperset(self.labels.tolist()):
            raise InputError(f"Expected labels 0 and 1, but got {np.unique(self.labels).tolist()}.")

    def __len__(self) -> int:
        """Number of points."""
        return len(self.labels)

    @property
    def positives(self) -> NDArray[np.float32]:
        """The points on the object (n, 2); of each text the best first."""
        chosen: NDArray[np.float32] = self.xy[self.labels == 1]
        return chosen

    @property
    def negatives(self) -> NDArray[np.float32]:
        """The points off the object (n, 2)."""
        chosen: NDArray[np.float32] = self.xy[self.labels == 0]
        return chosen


NO_POINTS = Points(xy=np.zeros((0, 2), np.float32), labels=np.zeros(0, np.int64))
"""The points of a text that has none."""


def points(
    explanation: Explanation,
    texts: Texts = None,
    *,
    union: bool = False,
    rule: PointRuleName | PointRule = "reference",
    min_presence: float | None = None,
) -> list[list[Points]]:
    """Return points on the object of each text, and off it, in each image.

    The points of a union are the positives of each of its texts, and negatives of the mean of
    their min-maxed maps. A text without a point (a flat map, or absent) has `Points` of length 0.

    Args:
        explanation: explanations of B images for C texts.
        texts: texts to use, each on its own; all texts by default. An entry that is itself a list
            of texts, or "person,man", is a union: one object with several texts.
        union: whether all texts together are one object.
        rule: "reference", "peaks", or a `ReferencePoints` or `PeakPoints` with settings.
        min_presence: minimum presence probability in [0, 1]; texts below it yield no points.
            If None, presence is not checked.

    Returns:
        One entry per image, each a list of one `Points` per text or union.

    Raises:
        InputError: if a list of texts is empty, a score is not finite, min_presence is out of
            range, or it is given and the explanation was made without a vocabulary.
        UnknownNameError: if the explanation was not made for a text, or the rule is unknown.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> [[clock]] = points(explanation, "clock", rule=PeakPoints(positives=1))
        >>> clock.positives.shape
        (1, 2)
    """
    point_rule = _rule(rule)
    selection = select_texts(explanation, texts, union=union)
    present = selection.take(texts_present(explanation, min_presence))
    result: list[list[Points]] = [[] for _ in range(len(explanation))]
    for images, scores in score_batches(explanation, selection.positions):
        framings = [explanation.framings[image] for image in images]
        batch = _points(scores, present[images].to(scores.device), framings, selection, point_rule)
        for image, of_image in zip(images, batch, strict=True):
            result[image] = of_image
    return result


def _rule(rule: PointRuleName | PointRule) -> PointRule:
    if not isinstance(rule, str):
        return rule
    if rule not in get_args(PointRuleName):
        raise UnknownNameError.among("rule of points", rule, get_args(PointRuleName))
    return ReferencePoints() if rule == "reference" else PeakPoints()


def _points(
    scores: Tensor,
    present: Tensor,
    framings: list[Framing],
    selection: TextSelection,
    rule: PointRule,
) -> list[list[Points]]:
    """Points of b images from raw scores (b, M, rows, columns) and `present` (b, M)."""
    if rule.halving:
        size = [max(1, side // 2) for side in scores.shape[2:]]
        scores = F.interpolate(scores, size=size, mode="bilinear", align_corners=False)
    inside = stacked_patches_in_image(framings, *scores.shape[2:]).to(scores.device)[:, None]
    levels, flat = _levels(scores, inside)
    used = present & ~flat
    everywhere = inside.expand_as(levels).flatten(0, 1)
    positive, negative = rule.choose(levels.flatten(0, 1), everywhere)
    if selection.has_unions:
        mean, mean_flat = _levels(_mean_of_used(levels, used, selection), inside)
        everywhere = inside.expand_as(mean).flatten(0, 1)
        negative = rule.choose(mean.flatten(0, 1), everywhere).negative
        negative_used = ~mean_flat & _unite(used, selection)
    else:
        negative_used = used
    xy = centres_in_pixels(framings, *scores.shape[2:]).flatten(1, 2).numpy()
    positives = _xy(positive, used, xy.astype(np.float32))
    negatives = _xy(negative, negative_used, xy.astype(np.float32))
    return [
        _joined(of_image, off_image, selection)
        for of_image, off_image in zip(positives, negatives, strict=True)
    ]


def _levels(scores: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Maps min-maxed over the cells that show the image, and which maps (b, n) are flat."""
    low = scores.masked_fill(~inside, float("inf")).amin((-2, -1), keepdim=True)
    high = scores.masked_fill(~inside, float("-inf")).amax((-2, -1), keepdim=True)
    return rescale(scores, low, high), is_flat(low, high)[..., 0, 0]


def _unite(used: Tensor, selection: TextSelection) -> Tensor:
    """Whether any text of a union is used: (b, T) from (b, M)."""
    return selection.unite(used.to(torch.float32), dim=1) > 0


def _mean_of_used(levels: Tensor, used: Tensor, selection: TextSelection) -> Tensor:
    """Mean map (b, T, rows, columns) over those texts of each union that are used."""
    numbers = [number for number, group in enumerate(selection.groups) for _ in group]
    index = torch.tensor(numbers, device=levels.device)
    weights = used.to(levels.dtype)[..., None, None]
    shape = (levels.shape[0], len(selection))
    sums = levels.new_zeros(*shape, *levels.shape[2:]).index_add_(1, index, levels * weights)
    counts = levels.new_zeros(*shape, 1, 1).index_add_(1, index, weights)
    return sums / counts.clamp(min=1)


def _xy(
    cells: ChosenCells, used: Tensor, centres: NDArray[np.float32]
) -> list[list[NDArray[np.float32]]]:
    """Centres (k, 2) of the chosen cells, for each image and map."""
    counts = (cells.counts.view(used.shape) * used).tolist()
    indices = cells.indices.view(*used.shape, -1).cpu().numpy()
    return [
        [row[:count] for row, count in zip(centres[image][of_image], of_counts, strict=True)]
        for image, (of_image, of_counts) in enumerate(zip(indices, counts, strict=True))
    ]


def _joined(
    positives: list[NDArray[np.float32]],
    negatives: list[NDArray[np.float32]],
    selection: TextSelection,
) -> list[Points]:
    """The points of one image: positives of M texts and negatives of T results, by result."""
    result: list[Points] = []
    start = 0
    for group, off_object in zip(selection.groups, negatives, strict=True):
        on_object = positives[start : start + len(group)]
        start += len(group)
        xy = np.concatenate([*on_object, off_object])
        labels = np.zeros(len(xy), np.int64)
        labels[: len(xy) - len(off_object)] = 1
        result.append(Points(xy=xy, labels=labels))
    return result
