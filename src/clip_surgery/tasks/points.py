"""Points: where to click on an object and where not, as prompts for SAM.

Unlike the released code, every grid and map has an answer: a flat map gives no point instead of
points without labels, and cells of a letterbox margin are never chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from clip_surgery.tasks.heatmaps import finite_scores
from clip_surgery.tasks.patch_centres import patch_centres, patches_in_image
from clip_surgery.tasks.point_rules import PeakPoints, PointRule, ReferencePoints
from clip_surgery.tasks.presence import texts_present

PointMode = Literal["reference", "peaks"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Clicks on one image, in the form SamPredictor.predict takes.

    Attributes:
        xy: (M, 2) float32, pixels of the image, x before y.
        labels: (M,) int64, 1 on the object, 0 off it.

    Raises:
        InputError: when the shapes do not belong together or a label is neither 0 nor 1.
    """

    xy: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.xy.ndim != 2 or self.xy.shape[1] != 2 or self.labels.shape != self.xy.shape[:1]:
            raise InputError(
                "Expected points (M, 2) and as many labels, "
                f"but got {self.xy.shape} and {self.labels.shape}."
            )
        if not np.isin(self.labels, (0, 1)).all():
            raise InputError(f"Expected labels 0 and 1, but got {np.unique(self.labels).tolist()}.")

    def __len__(self) -> int:
        """How many points there are."""
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


def points(
    explanation: Explanation,
    texts: str | Sequence[str],
    *,
    mode: PointMode | PointRule = "reference",
    min_presence: float | None = None,
) -> list[Points]:
    """Points for one text, or for several texts as one object, per image.

    With several texts, positives come from each one's map and negatives from the mean of the
    normalised maps. An image gets no point where all maps are flat or no text is likely enough.

    Args:
        explanation: made for these texts.
        texts: one text, or several.
        mode: "reference", "peaks", or a `ReferencePoints` or `PeakPoints` with settings.
        min_presence: texts less likely in the image than this give no point; None does not ask.

    Raises:
        InputError: when no text is given, a score is not finite, min_presence is out of range, or
            it is asked of an explanation made without a vocabulary.
        UnknownNameError: for a text the explanation was not made for, or an unknown mode.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> points(explanation, "clock", mode=PeakPoints(positives=1))[0].positives.shape
        (1, 2)
    """
    rule = _rule(mode)
    indices = explanation.text_indices(texts)
    likely = texts_present(explanation, min_presence)
    found = []
    for picture, framing in enumerate(explanation.framings):
        scores = finite_scores(explanation, picture).cpu()
        chosen = [scores[index] for index in indices if likely[picture, index]]
        found.append(_points(chosen, framing, rule))
    return found


def _rule(mode: PointMode | PointRule) -> PointRule:
    if not isinstance(mode, str):
        return mode
    if mode not in get_args(PointMode):
        raise UnknownNameError.among("mode of points", mode, get_args(PointMode))
    return ReferencePoints() if mode == "reference" else PeakPoints()


def _points(maps: list[Tensor], framing: Framing, rule: PointRule) -> Points:
    """Points of one image from raw maps (rows, columns)."""
    if rule.halving:
        maps = [_halved(scores) for scores in maps]
    levels: list[Tensor] = []
    if maps:
        inside = patches_in_image(framing, *maps[0].shape)
        levels = [level for scores in maps if (level := _level(scores, inside)) is not None]
    if not levels:
        return Points(xy=np.zeros((0, 2), np.float32), labels=np.zeros(0, np.int64))
    mean = _level(torch.stack(levels).mean(dim=0), inside)
    positive = torch.cat([rule.choose(level, inside).positive for level in levels])
    negative = positive[:0] if mean is None else rule.choose(mean, inside).negative
    centres = patch_centres(framing, *inside.shape).view(-1, 2)
    xy = framing.restore_points(centres[torch.cat([positive, negative])])
    labels = np.concatenate([np.ones(len(positive), np.int64), np.zeros(len(negative), np.int64)])
    return Points(xy=xy.numpy().astype(np.float32), labels=labels)


def _halved(scores: Tensor) -> Tensor:
    """A map (rows, columns) at half the resolution, bilinear."""
    size = [max(1, side // 2) for side in scores.shape]
    return F.interpolate(scores[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]


def _level(scores: Tensor, inside: Tensor) -> Tensor | None:
    """A map min-maxed over the cells that show the image; None where it is flat."""
    seen = scores[inside]
    if not len(seen):
        return None
    low, high = seen.min(), seen.max()
    return None if is_flat(low, high) else rescale(scores, low, high)
