"""Points: where to click on an object and where not, as prompts for SAM.

Two ways. "reference" is the rule CLIP Surgery was published with (arXiv 2304.05653, text to
points): on a map of half the resolution, as many of the highest cells as reach 0.8 are positive,
and as many of the lowest negative. "peaks" gives few points instead: the map's local maxima, kept
apart, and low cells spread over the picture.

Unlike the released code, every grid has an answer: a flat map gives no point instead of 49 points
without labels, and cells of a letterbox margin are never chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing
from clip_surgery.tasks.heatmaps import finite_scores
from clip_surgery.tasks.presence import texts_present
from clip_surgery.tasks.spreading import apart, farthest

PointMode = Literal["reference", "peaks"]
HIGHEST_NEGATIVE = 0.3  # a negative of "peaks" lies this low in its min-maxed map, or lower


@dataclass(frozen=True, kw_only=True, eq=False)
class Points:
    """Clicks on one picture, in the form SamPredictor.predict takes.

    Attributes:
        xy: (M, 2) float32, pixels of the picture, x before y.
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
        """The points on the object (n, 2), best first."""
        return self.xy[self.labels == 1]

    @property
    def negatives(self) -> NDArray[np.float32]:
        """The points off the object (n, 2)."""
        return self.xy[self.labels == 0]


@dataclass(frozen=True, kw_only=True)
class PointRule:
    """How points are chosen.

    Attributes:
        mode: "reference" or "peaks".
        threshold: how high in its min-maxed map a positive lies at least.
        positives: how many "peaks" gives a text at most.
        negatives: how many "peaks" gives at most.
        spacing: how far apart the points of "peaks" lie at least, in cells of the grid.
        min_presence: texts less likely in the picture than this get no positive; None does not
            ask. It needs an explanation made with a vocabulary.

    Raises:
        UnknownNameError: for another mode.
        InputError: for a threshold outside (0, 1], a negative count or a spacing below 1.
    """

    mode: PointMode = "reference"
    threshold: float = 0.8
    positives: int = 3
    negatives: int = 3
    spacing: float = 2.0
    min_presence: float | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(PointMode):
            raise UnknownNameError.among("mode of points", self.mode, get_args(PointMode))
        if not 0 < self.threshold <= 1:
            raise InputError(f"Expected threshold to be above 0 to 1, but got {self.threshold}.")
        if self.positives < 0 or self.negatives < 0:
            raise InputError(
                "Expected 0 or more positives and negatives, "
                f"but got {self.positives} and {self.negatives}."
            )
        if not self.spacing >= 1:
            raise InputError(f"Expected spacing of at least 1 cell, but got {self.spacing}.")


def points(
    explanation: Explanation,
    texts: str | Sequence[str],
    *,
    rule: PointRule | None = None,
    **settings: Any,
) -> list[Points]:
    """Points for one text, or for several texts as one object, per picture.

    With several texts, positives come from each one's map and negatives from the mean of the
    normalised maps. A picture where no text is likely enough, or all maps are flat, gets no point.
    Settings are the fields of `PointRule`, given by name or as a whole.

    Raises:
        InputError: when no text is given, a score is not finite, a setting is out of range, or
            `min_presence` is asked of an explanation made without a vocabulary.
        UnknownNameError: for a text the explanation was not made for, or an unknown mode.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.explainer import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> points(explanation, "clock")[0].xy.shape[1]
        2
    """
    rule = rule_of(PointRule, rule, settings)
    indices = explanation.text_indices(texts)
    likely = texts_present(explanation, rule.min_presence)
    found = []
    for picture, framing in enumerate(explanation.framings):
        scores = finite_scores(explanation, picture)
        chosen = [scores[index] for index in indices if likely[picture, index]]
        if rule.mode == "reference" and chosen:  # patches halved, as published
            size = [max(1, side // 2) for side in scores.shape[-2:]]
            halved = F.interpolate(
                torch.stack(chosen)[None], size=size, mode="bilinear", align_corners=False
            )
            chosen = list(halved[0])
        found.append(_points(chosen, framing, rule))
    return found
