"""Boxes: the connected regions where a text's map is high, as scored rectangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.presence import texts_present

_TOUCHING = np.ones((3, 3))  # pixels that touch by a side or a corner are of one region


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
        threshold: how high in its min-maxed map a pixel of a region lies at least.
        smallest: regions below this share of the image are left out.
        count: how many boxes an image gives at most, None for all.

    Raises:
        InputError: for a threshold outside (0, 1], a share outside [0, 1] or a count below 1.
    """

    threshold: float = 0.5
    smallest: float = 0.002
    count: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(
                f"Expected threshold to be above 0 and at most 1, but got {self.threshold}."
            )
        if not 0 <= self.smallest <= 1:
            raise InputError(f"Expected smallest to be within 0 to 1, but got {self.smallest}.")
        if self.count is not None and self.count < 1:
            raise InputError(f"Expected count of at least 1 box, but got {self.count}.")


def boxes(
    explanation: Explanation,
    text: str,
    *,
    rule: BoxRule | None = None,
    min_presence: float | None = None,
) -> list[list[Box]]:
    """Boxes of one text per image, best first; none where the map is flat.

    `min_presence` leaves out images where the text is less likely than this.

    Raises:
        InputError: when a score is not finite, min_presence is out of range, or it is asked of an
            explanation made without a vocabulary.
        UnknownNameError: for a text the explanation was not made for.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explanation = load("demo")(Image.radial_gradient("L"), ["clock", "cow"])
        >>> all(0 <= box.xyxy[0] < box.xyxy[2] <= 256 for box in boxes(explanation, "clock")[0])
        True
    """
    rule = rule or BoxRule()
    index = explanation.text_index(text)
    likely = texts_present(explanation, min_presence)[:, index]
    found: list[list[Box]] = []
    for part, wanted in zip(explanation, likely.tolist(), strict=True):
        heatmap = heatmaps(part.only(text))[0][0] if wanted else None
        found.append([] if heatmap is None else _boxes(heatmap.cpu().numpy(), rule))
    return found


def _boxes(heatmap: NDArray[np.float32], rule: BoxRule) -> list[Box]:
    from scipy import ndimage  # a third of a second, and most who import Box look for none

    mask = heatmap >= rule.threshold
    labels, _ = ndimage.label(mask, structure=_TOUCHING)
    regions = labels[mask]
    areas = np.bincount(regions)
    sums = np.bincount(regions, weights=heatmap[mask])
    cut = [
        Box(
            xyxy=(columns.start, rows.start, columns.stop, rows.stop),
            score=float(min(1.0, sums[number] / areas[number])),
            area=int(areas[number]),
        )
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1)
        if areas[number] >= rule.smallest * heatmap.size
    ]
    cut.sort(key=lambda box: (-box.score, -box.area, box.xyxy))
    return cut[: rule.count]
