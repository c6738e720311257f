"""Names of regions: the word that a region looks like, beside the label in question.

A model with a shortcut makes a region look like the label. The name is therefore found twice: as
it is, and without the direction of the label. A region whose first name is the label is the label's
own region, unless what remains without the label matches another word as well as a typical region
matches its name.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

OWN = -1
"""Name of a region that is the label itself."""

Numbers = NDArray[np.float32]


def centred(words: Numbers) -> Numbers:
    """Return word features (W, D) without their mean, of unit length; zero for a single word."""
    unit = _unit(words)
    return _unit(unit - unit.mean(axis=0))


def name_regions(regions: Numbers, words: Numbers, label: int) -> NDArray[np.int64]:
    """Return the index of the word that each region looks like, or `OWN`.

    Args:
        regions: features of n regions of all images, (n, D), of unit length.
        words: text features (W, D).
        label: index of the label in `words`.
    """
    if not len(regions):
        return np.zeros(0, dtype=np.int64)
    directions = centred(words)
    similarity = regions @ directions.T
    first = similarity.argmax(axis=1)
    typical = np.median(similarity.max(axis=1))
    target = _unit(words)[label]
    rest = _unit(regions - (regions @ target)[:, None] * target)
    without = rest @ directions.T
    without[:, label] = -np.inf
    second = without.argmax(axis=1)
    is_strong = without.max(axis=1) >= typical
    return np.where(first != label, first, np.where(is_strong, second, OWN))


def _unit(values: Numbers) -> Numbers:
    """Return rows of unit length; rows of zeros stay."""
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-12), dtype=np.float32)
