"""Presence as statistics: p-values against a null, and thresholds with a promised miss rate.

Sources: conformal prediction by ranks (Vovk et al., "Algorithmic Learning in a Random World") and
conformal risk control (Angelopoulos et al., arXiv 2208.02814). Both need data that are exchangeable
with those they are applied to: images of the same kind, words of the same kind. Other images or
words (a shift) void the promise.

Scores are any numbers that rise with the certainty that a text is in an image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clip_surgery.errors import InputError

Numbers = NDArray[np.float64]


def null_p_values(scores: ArrayLike, null: ArrayLike) -> Numbers:
    """Return the probability that a text that is absent has at least this score.

    p = (1 + number of null scores >= score) / (n + 1). The smallest possible value is 1 / (n + 1).

    Args:
        scores: scores of any shape.
        null: n scores of texts in images that do not contain them. Scores of other texts in the
            same image are no null: the fifth of five present objects would be as far down as an
            absent text.

    Returns:
        p-values in (0, 1], of the shape of `scores`.

    Raises:
        InputError: if there is no null score, or a number is not finite.

    Example:
        >>> null_p_values([0.5, 9.0], null=[0.0, 1.0, 2.0]).tolist()
        [0.75, 0.25]
    """
    values, ordered = _finite(scores, "scores"), np.sort(_finite(null, "null").ravel())
    if not len(ordered):
        raise InputError("Expected at least one score of an absent text, but got none.")
    at_least = len(ordered) - np.searchsorted(ordered, values, side="left")
    return np.asarray((1 + at_least) / (len(ordered) + 1), dtype=np.float64)


def adjusted_p_values(p_values: ArrayLike) -> Numbers:
    """Return p-values adjusted by Benjamini and Hochberg over the last axis.

    Texts with an adjusted value of at most q contain a share of at most q false ones on average.

    Args:
        p_values: (..., T) p-values of T texts in [0, 1].

    Raises:
        InputError: if a p-value is not within 0 to 1.

    Example:
        >>> adjusted_p_values([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.04, 0.04]
    """
    from scipy.stats import false_discovery_control

    values = np.asarray(p_values, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise InputError("Expected p-values within 0 to 1.")
    if not values.size:
        return values
    return np.asarray(false_discovery_control(values, axis=-1), dtype=np.float64)


def conformal_threshold(present: ArrayLike, miss_rate: float) -> float:
    """Return the highest threshold that misses a present text with at most this probability.

    It is the k-th smallest of n scores with k = floor(miss_rate (n + 1)). A text is missed if its
    score is below the threshold.

    Args:
        present: n scores of texts in images that contain them.
        miss_rate: promised probability of a miss, in (0, 1).

    Returns:
        The threshold; minus infinity if n is too small for the promise.

    Raises:
        InputError: if the miss rate is not within 0 to 1, or a score is not finite.

    Example:
        >>> conformal_threshold([4.0, 1.0, 3.0, 2.0], miss_rate=0.4)
        2.0
    """
    _check_rate(miss_rate)
    ordered = np.sort(_finite(present, "present").ravel())
    rank = _floor(miss_rate * (len(ordered) + 1))
    return float(ordered[rank - 1]) if rank else -math.inf


def risk_threshold(present: Sequence[ArrayLike], miss_rate: float) -> float:
    """Return the highest threshold for which the mean share of missed texts of an image is bounded.

    Texts of one image depend on each other, which this threshold accounts for: with R(t) the mean
    over n images of the share of their present texts whose score is below t, it is the highest t
    among the scores with (n R(t) + 1) / (n + 1) <= miss_rate.

    Args:
        present: for each of n images, the scores of the texts that it contains. Images without
            such a text are ignored.
        miss_rate: promised mean share of missed texts, in (0, 1).

    Returns:
        The threshold; minus infinity if n is too small for the promise.

    Raises:
        InputError: if the miss rate is not within 0 to 1, or a score is not finite.

    Example:
        >>> risk_threshold([[1.0, 2.0], [3.0], [4.0]], miss_rate=0.4)
        2.0
    """
    _check_rate(miss_rate)
    images = [scores for row in present if (scores := _finite(row, "present").ravel()).size]
    if not images:
        return -math.inf
    scores = np.concatenate(images)
    shares = np.concatenate([np.full(row.size, 1 / row.size) for row in images])
    order = np.argsort(scores, kind="stable")
    scores, shares = scores[order], shares[order]
    missed = np.concatenate([[0.0], np.cumsum(shares)[:-1]])  # n R just below each score
    missed = missed[np.searchsorted(scores, scores, side="left")]  # equal scores are kept together
    allowed = (missed + 1) / (len(images) + 1) <= miss_rate + 1e-12
    return float(scores[allowed][-1]) if allowed.any() else -math.inf


def _floor(value: float) -> int:
    """Return the floor of a product that may lie just below a whole number by rounding."""
    return math.floor(value + 1e-9)


def _check_rate(miss_rate: float) -> None:
    if not 0 < miss_rate < 1:
        raise InputError(f"Expected a miss rate between 0 and 1, but got {miss_rate}.")


def _finite(values: ArrayLike, name: str) -> Numbers:
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise InputError(f"Expected finite {name}, but some are NaN or infinite.")
    return numbers
