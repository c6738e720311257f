"""Means and shares with 95 % intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Self

import numpy as np

from clip_surgery.errors import InputError

CONFIDENCE = 0.95
_NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean with its 95 % interval.

    Attributes:
        mean: the mean.
        low: lower end of the interval; None if there are too few values for an interval.
        high: upper end of the interval, likewise.
        count: number of values.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @classmethod
    def of_mean(cls, values: Sequence[float], *, bounds: tuple[float, float] = (-inf, inf)) -> Self:
        """Return the mean of values with Student's interval, which needs two values.

        Args:
            values: the values.
            bounds: lowest and highest possible mean; the interval is cut to them.

        Raises:
            InputError: if there is no value, or one is not finite.

        Example:
            >>> interval = Interval.of_mean([1.0, 2.0, 3.0])
            >>> interval.mean, round(interval.low, 2), round(interval.high, 2)
            (2.0, -0.48, 4.48)
        """
        numbers = np.asarray(values, dtype=np.float64)
        if not numbers.size or not np.isfinite(numbers).all():
            raise InputError("Expected at least one value, and all finite, for a mean.")
        mean, count = float(numbers.mean()), len(numbers)
        if count < 2:
            return cls(mean=mean, low=None, high=None, count=count)
        half = _student(count - 1) * float(numbers.std(ddof=1)) / count**0.5
        low, high = max(bounds[0], mean - half), min(bounds[1], mean + half)
        return cls(mean=mean, low=low, high=high, count=count)

    @classmethod
    def of_share(cls, hits: int, count: int) -> Self:
        """Return the share of hits with Wilson's interval, which stays within 0 to 1.

        Raises:
            InputError: if the count is below 1, or hits are not within 0 to the count.

        Example:
            >>> interval = Interval.of_share(8, 10)
            >>> interval.mean, round(interval.low, 2), round(interval.high, 2)
            (0.8, 0.49, 0.94)
        """
        if count < 1 or not 0 <= hits <= count:
            raise InputError(f"Expected hits within 0 to a count of 1 or more: {hits}, {count}.")
        z2 = _NORMAL_QUANTILE**2
        share = hits / count
        centre = (share + z2 / (2 * count)) / (1 + z2 / count)
        variance = share * (1 - share) / count + z2 / (4 * count**2)
        half = _NORMAL_QUANTILE / (1 + z2 / count) * variance**0.5
        return cls(
            mean=share, low=max(0.0, centre - half), high=min(1.0, centre + half), count=count
        )

    def above(self, other: Interval) -> bool:
        """Return whether this whole interval is above the other."""
        return self.low is not None and other.high is not None and self.low > other.high

    def text(self, digits: int = 2) -> str:
        """Return the mean and the half width of the interval as text, such as "0.51 ± 0.04"."""
        if self.low is None or self.high is None:
            return f"{self.mean:.{digits}f}"
        return f"{self.mean:.{digits}f} ± {(self.high - self.low) / 2:.{digits}f}"


def _student(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + CONFIDENCE) / 2))
