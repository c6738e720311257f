"""Texts that describe what one attention head writes: TextSpan.

Source: Gandelsman, Efros, Steinhardt (ICLR 2024, arXiv 2310.05916), algorithm 1. The contributions
of a head over images are centred, and the texts are projected on the directions in which they vary.
Then, again and again, the text along which the contributions vary most is chosen, and its direction
is removed from contributions and texts. Difference from the paper: texts are compared by their
directions, so that a text does not win because its projection is long; the explained variance is
then a share of the whole.

Letters: n images, C texts, D joint width.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clip_surgery.errors import InputError

_RANK = 80  # directions of the contributions on which texts are projected, as in the paper
_SHORT = 1e-3  # share of its length below which what is left of a text is rounding error


class SpannedText(NamedTuple):
    """The position of a text, and the share of a head's variance that it explains, in [0, 1]."""

    position: int
    share: float


def text_span(contributions: Tensor, texts: Tensor, *, count: int = 5) -> list[SpannedText]:
    """Return the texts along which contributions vary most, each after those before it.

    Args:
        contributions: what a head adds to the features of n images (n, D).
        texts: features of C texts (C, D).
        count: maximum number of texts.

    Returns:
        At most `count` texts. The shares of the texts add up to at most 1. A head that adds the
        same to all images has no texts.

    Raises:
        InputError: if the widths differ or `count` is below 1.

    Example:
        >>> contributions = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> texts = torch.eye(2)
        >>> [(text.position, round(text.share, 2)) for text in text_span(contributions, texts)]
        [(0, 0.8), (1, 0.2)]
    """
    if count < 1:
        raise InputError(f"Expected count of at least 1 text, but got {count}.")
    if contributions.ndim != 2 or texts.ndim != 2 or contributions.shape[1] != texts.shape[1]:
        raise InputError(
            f"Expected contributions (n, D) and texts (C, D), but got "
            f"{tuple(contributions.shape)} and {tuple(texts.shape)}."
        )
    left = contributions.double() - contributions.double().mean(dim=0)
    variance = float(left.square().sum())
    scale = float(contributions.double().square().sum())
    if variance <= 1e-10 * max(scale, 1e-300):
        return []
    _, spread, axes = torch.linalg.svd(left, full_matrices=False)
    axes = axes[spread > _SHORT * spread[0]][:_RANK]  # the others are rounding errors
    rows = texts.double() @ axes.T @ axes
    lengths = texts.double().norm(dim=1)
    chosen: list[SpannedText] = []
    for _ in range(min(count, len(texts))):
        norms = rows.norm(dim=1)
        usable = norms > _SHORT * lengths
        directions = rows / norms.clamp_min(1e-300)[:, None]
        explained = (left @ directions.T).square().sum(dim=0) * usable
        best = int(explained.argmax())
        share = float(explained[best]) / variance
        if share <= 1e-9:
            break
        chosen.append(SpannedText(best, min(1.0, share)))
        direction = directions[best]
        left = left - (left @ direction)[:, None] * direction
        rows = rows - (rows @ direction)[:, None] * direction
    return chosen
