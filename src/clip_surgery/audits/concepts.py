"""Names of regions: the word that a region looks like, beside the label in question.

A model with a shortcut makes a region look like the label. The name is therefore found twice: as
it is, and without the direction of the label. A region whose first name is the label is the label's
own region, unless what remains without the label matches another word as well as the remainder of a
typical region that does not look like the label. Matches of whole regions would be no measure: a
strong shortcut makes many regions match the label very well, and no remainder would be as typical.
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

    If all regions look like the label, there is nothing to compare with, and all are its own.

    Args:
        regions: features of n regions of all images, (n, D), of unit length.
        words: text features (W, D).
        label: index of the label in `words`.
    """
    if not len(regions):
        return np.zeros(0, dtype=np.int64)
    directions = centred(words)
    first = (regions @ directions.T).argmax(axis=1)
    is_other = first != label
    target = _unit(words)[label]
    rest = _unit(regions - (regions @ target)[:, None] * target)
    without = rest @ directions.T
    without[:, label] = -np.inf
    match = without.max(axis=1)
    typical = np.median(match[is_other]) if is_other.any() else np.inf
    second = np.where(match >= typical, without.argmax(axis=1), OWN)
    return np.where(is_other, first, second)


def _unit(values: Numbers) -> Numbers:
    """Return rows of unit length; rows of zeros stay."""
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-12), dtype=np.float32)
