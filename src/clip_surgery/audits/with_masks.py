"""What an audit measures with masks: does the label follow the object or its background?

- The background gap (ImageNet-9, arXiv 2006.09994): accuracy with the object on the background of
  another image of its class, minus that on the background of another class.
- The worst group of label and background (Waterbirds, arXiv 1911.08731).
- Relative foreground sensitivity (arXiv 2201.10766): with a_b and a_f the accuracies under noise on
  the background and on the foreground and a their mean, (a_b - a_f) / (2 min(a, 1 - a)). It is in
  [-1, 1] and positive if the model relies on the foreground.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.evaluation.intervals import Interval

NOISE = 0.5
"""Standard deviation of the noise, in units of normalised pixels."""
_FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class MaskedOutcome:
    """Whether the label of one image is right after changes. None if there was no background.

    Attributes:
        label: the true label.
        background: the word that the background alone matches best.
        whole: whether the label of the image itself is right.
        same: with the background of another image of the class.
        different: with the background of an image of another class.
        noisy_background: with noise on the background.
        noisy_object: with noise on the object.
    """

    label: str
    background: str
    whole: bool
    same: bool | None
    different: bool | None
    noisy_background: bool
    noisy_object: bool


@dataclass(frozen=True, kw_only=True)
class MaskedSummary:
    """The measures of all images with masks.

    Attributes:
        accuracy: share of images whose label is right.
        gap: the background gap; None if no image has both backgrounds.
        worst_group: label, background and accuracy of the worst group of at least three images.
        foreground_sensitivity: relative foreground sensitivity.
        images: number of images with masks.
    """

    accuracy: Interval
    gap: Interval | None
    worst_group: tuple[str, str, Interval] | None
    foreground_sensitivity: float
    images: int


def summarise(outcomes: Sequence[MaskedOutcome]) -> MaskedSummary | None:
    """Return the measures of all images, or None without images."""
    if not outcomes:
        return None
    pairs = [
        float(outcome.same) - float(outcome.different)
        for outcome in outcomes
        if outcome.same is not None and outcome.different is not None
    ]
    groups: dict[tuple[str, str], list[bool]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.label, outcome.background].append(outcome.whole)
    judged = {
        group: Interval.of_share(sum(right), len(right))
        for group, right in groups.items()
        if len(right) >= _FEWEST
    }
    worst = min(judged, key=lambda group: (judged[group].mean, group), default=None)
    count = len(outcomes)
    return MaskedSummary(
        accuracy=Interval.of_share(sum(outcome.whole for outcome in outcomes), count),
        gap=Interval.of_mean(pairs, bounds=(-1, 1)) if pairs else None,
        worst_group=None if worst is None else (*worst, judged[worst]),
        foreground_sensitivity=foreground_sensitivity(
            sum(outcome.noisy_background for outcome in outcomes) / count,
            sum(outcome.noisy_object for outcome in outcomes) / count,
        ),
        images=count,
    )


def foreground_sensitivity(background_noise: float, object_noise: float) -> float:
    """Return the relative foreground sensitivity of two accuracies in [0, 1].

    Equal accuracies give 0, also if both are 0 or 1.

    Example:
        >>> round(foreground_sensitivity(0.8, 0.4), 3), foreground_sensitivity(1.0, 1.0)
        (0.5, 0.0)
    """
    mean = (background_noise + object_noise) / 2
    room = 2 * min(mean, 1 - mean)
    return (background_noise - object_noise) / room if room > 0 else 0.0


def on_background(pixels: Tensor, mask: Tensor, background: Tensor) -> Tensor:
    """Return the object of one image on the background of another one.

    Args:
        pixels: (3, H, W).
        mask: (H, W) bool, the object.
        background: (3, h, w), an image without its object; it is resized.
    """
    resized = torch.nn.functional.interpolate(
        background[None].float(), size=mask.shape, mode="bilinear", align_corners=False
    )[0]
    return torch.where(mask, pixels, resized.to(pixels))


def with_noise(pixels: Tensor, where: Tensor, *, seed: int) -> Tensor:
    """Return pixels (3, H, W) with noise where a mask (H, W) is true."""
    noise = torch.randn(pixels.shape, generator=torch.Generator().manual_seed(seed))
    return pixels + NOISE * noise.to(pixels) * where.to(pixels)
