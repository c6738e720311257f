"""Score batches: the maps of images with the same patch grid as one tensor, checked for NaN."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation

_VALUES_IN_BATCH = 2**24
"""Scores in a batch at most, unless a single image has more: 64 MiB of float32."""


def score_batches(
    explanation: Explanation, positions: Sequence[int] | None = None
) -> Iterator[tuple[list[int], Tensor]]:
    """Yield (indices of b images, their scores (b, n, rows, columns) in float32).

    Images are grouped by the shape of their patch grid, in batches of bounded size.

    Args:
        explanation: explanations of B images for C texts.
        positions: positions of the n texts; all texts if None.

    Raises:
        InputError: if a score is not finite.
    """
    by_grid: dict[tuple[int, int], list[int]] = {}
    for index, scores in enumerate(explanation.patch_scores):
        by_grid.setdefault((scores.shape[1], scores.shape[2]), []).append(index)
    count = len(explanation.texts) if positions is None else len(positions)
    for (rows, columns), images in by_grid.items():
        size = max(1, _VALUES_IN_BATCH // max(1, count * rows * columns))
        for start in range(0, len(images), size):
            batch = images[start : start + size]
            yield batch, torch.stack([finite_scores(explanation, i, positions) for i in batch])


def finite_scores(
    explanation: Explanation, index: int, positions: Sequence[int] | None = None
) -> Tensor:
    """Return the scores (n, rows, columns) of one image in float32.

    Args:
        explanation: explanations of B images for C texts.
        index: index of the image.
        positions: positions of the n texts; all texts if None.

    Raises:
        InputError: if a score is not finite.
    """
    scores = explanation.patch_scores[index].detach()
    texts: Sequence[str] = explanation.texts
    if positions is not None and list(positions) != list(range(len(texts))):
        scores = scores[torch.tensor(list(positions), dtype=torch.int64, device=scores.device)]
        texts = [texts[position] for position in positions]
    scores = scores.to(torch.float32)
    if not scores.isfinite().all():
        finite = scores.flatten(1).isfinite().all(dim=1).tolist()
        raise InputError(
            f"{explanation.images[index]}: expected finite scores for "
            f"{texts[finite.index(False)]!r}, "
            "but some are NaN or infinite (a half-precision overflow?)."
        )
    return scores
