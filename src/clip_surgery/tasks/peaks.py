"""Peaks: the patch of most evidence for each text."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from clip_surgery.explanation import Explanation
from clip_surgery.surgery.min_max import is_flat
from clip_surgery.tasks.patch_centres import centres_in_pixels, stacked_patches_in_image
from clip_surgery.tasks.score_batches import score_batches
from clip_surgery.tasks.text_selection import Texts, select_texts


class Peak(NamedTuple):
    """The patch of most evidence: its centre (x, y) in pixels of the image, its raw score."""

    x: float
    y: float
    score: float


def peaks(
    explanation: Explanation, texts: Texts = None, *, union: bool = False
) -> list[list[Peak | None]]:
    """Return where each text has most evidence, among the patches whose centre lies in the image.

    Args:
        explanation: explanations of B images for C texts.
        texts: texts to use, each on its own; all texts by default. For a union it is the highest
            peak of its texts.
        union: whether all texts together give one peak.

    Returns:
        One entry per image, each a list of one peak per text; None where the map is flat.

    Raises:
        InputError: if a score is not finite.
        UnknownNameError: if the explanation was not made for a text.
    """
    selection = select_texts(explanation, texts, union=union)
    result: list[list[Peak | None]] = [[] for _ in range(len(explanation))]
    for images, batch in score_batches(explanation, selection.positions):
        scores = selection.unite(batch, dim=1)
        framings = [explanation.framings[image] for image in images]
        inside = stacked_patches_in_image(framings, *scores.shape[2:]).to(scores.device)
        values, cells, flat = highest_cells(scores, inside)
        xy = centres_in_pixels(framings, *scores.shape[2:]).flatten(1, 2)  # (b, P, 2)
        points = xy[torch.arange(len(images))[:, None], cells.cpu()]
        for image, x, y, score, is_flat_map in zip(
            images,
            points[..., 0].tolist(),
            points[..., 1].tolist(),
            values.tolist(),
            flat.tolist(),
            strict=True,
        ):
            result[image] = [
                None if no_peak else Peak(*place)
                for *place, no_peak in zip(x, y, score, is_flat_map, strict=True)
            ]
    return result


def highest_cells(scores: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return value and index of the highest cell of each map, and whether the map is flat.

    Args:
        scores: (b, T, rows, columns).
        inside: (b, rows, columns) bool, the cells that count.

    Returns:
        Three tensors (b, T); the index counts row by row.
    """
    values = scores.flatten(2)
    seen = inside.flatten(1)[:, None]
    if bool(seen.all()):
        lowest = values.amin(-1)
    else:
        lowest = values.masked_fill(~seen, float("inf")).amin(-1)
        values = values.masked_fill(~seen, float("-inf"))
    highest, cells = values.max(-1)
    return highest, cells, is_flat(lowest, highest)
