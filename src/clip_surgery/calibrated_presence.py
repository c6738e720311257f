"""A presence rule with the scores that it was calibrated on, from which statistics follow."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.presence_rule import PresenceRule
from clip_surgery.presence_statistics import conformal_threshold, null_p_values, risk_threshold

MissUnit = Literal["text", "image"]


@dataclass(frozen=True, kw_only=True)
class CalibratedPresence(PresenceRule):
    """A presence rule, with the scores of present and absent texts of its calibration.

    The scores are logits of the probability, a e + b d + c. Everything that takes a `PresenceRule`
    takes a calibrated one.

    Attributes:
        present: for each image, the scores of the texts that it contains.
        absent: scores of texts in images that do not contain them: the null of p-values.

    Raises:
        InputError: if a coefficient is not finite, a weight is negative, or a score is not finite.

    Example:
        >>> rule = CalibratedPresence(present=((2.0,), (1.0, 3.0)), absent=(-4.0, -3.0))
        >>> round(rule.threshold(miss_rate=0.25), 3)
        0.731
    """

    present: tuple[tuple[float, ...], ...] = ()
    absent: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        scores = [*self.absent, *(score for image in self.present for score in image)]
        if not all(math.isfinite(score) for score in scores):
            raise InputError("Expected finite scores of the calibration of presence.")

    def __repr__(self) -> str:
        """Return the coefficients and the numbers of scores."""
        coefficients = ", ".join(f"{name}={value}" for name, value in coefficients_of(self).items())
        texts = sum(map(len, self.present))
        return (
            f"CalibratedPresence({coefficients}, present=<{texts} scores of "
            f"{len(self.present)} images>, absent=<{len(self.absent)} scores>)"
        )

    def threshold(self, miss_rate: float, *, per: MissUnit = "text") -> float:
        """Return the highest probability that can be demanded at a promised miss rate.

        Pass it as `min_presence` to any task. The promise holds for images and texts of the same
        kind as those of the calibration.

        Args:
            miss_rate: promised share of present texts that are missed, in (0, 1).
            per: "text" for the share among all present texts, by split conformal prediction;
                "image" for the mean over images of the share of their texts, by conformal risk
                control, which holds although the texts of an image depend on each other.

        Returns:
            A probability in [0, 1]; 0 if the calibration has too few images for the promise.

        Raises:
            InputError: if the miss rate is not within 0 to 1.
            UnknownNameError: if `per` is unknown.
        """
        if per not in get_args(MissUnit):
            raise UnknownNameError.among("unit of misses", per, get_args(MissUnit))
        if per == "image":
            score = risk_threshold(self.present, miss_rate)
        else:
            score = conformal_threshold([s for row in self.present for s in row], miss_rate)
        return 0.0 if score == -math.inf else _sigmoid_below(score)

    def p_values(self, log_ratios: Tensor) -> NDArray[np.float64]:
        """Return the probability (B, C) that an absent text has at least the score of each text.

        Args:
            log_ratios: (B, 2, C) log ratios of image and patches.

        Raises:
            InputError: if the calibration has no absent text.
        """
        return null_p_values(self.scores(log_ratios).cpu().numpy(), self.absent)


def coefficients_of(rule: PresenceRule) -> dict[str, float]:
    """Return the coefficients of a rule by name, without the scores of a calibration."""
    return {field.name: getattr(rule, field.name) for field in fields(PresenceRule)}


def rule_from_values(values: dict[str, Any]) -> PresenceRule:
    """Build a rule from the values of `dataclasses.asdict`, as JSON returns them.

    Raises:
        AttributeError, InputError, TypeError, ValueError: if a value is of another kind.
    """
    numbers = dict(values.items())
    present, absent = numbers.pop("present", None), numbers.pop("absent", None)
    coefficients = {name: float(value) for name, value in numbers.items()}
    if present is None and absent is None:
        return PresenceRule(**coefficients)
    return CalibratedPresence(
        present=tuple(tuple(map(float, image)) for image in present or ()),
        absent=tuple(map(float, absent or ())),
        **coefficients,
    )


def values_of_rule(rule: PresenceRule) -> dict[str, Any]:
    """Return all values of a rule, for JSON."""
    return asdict(rule)


def _sigmoid_below(score: float) -> float:
    """Return the sigmoid of a score in float32, one step lower.

    Probabilities are float32, so a text with exactly this score must not fall below the threshold
    by rounding.
    """
    value = np.float32(1 / (1 + math.exp(-max(score, -700.0))))
    return max(0.0, float(np.nextafter(np.nextafter(value, np.float32(0)), np.float32(0))))
