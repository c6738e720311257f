"""Redraw the regions of a segmentation with a segmenter such as SAM.

Source: the last stage of Trident (arXiv 2411.09219): each connected region of a class becomes a
prompt of its box, its best point and its rough mask, and the mask of the segmenter replaces it if
the segmenter rates it well. Differences from the released code: a region that is refused is kept as
it is; where regions overlap then, the one of the higher mean score wins.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.inputs.images import InputImage
from clip_surgery.segmenters.segmenter import Prompt, Segmenter

MIN_SCORE = 0.8
"""Lowest rating of a mask by the segmenter."""
MIN_SHARE = 1e-3
"""Lowest share of the image that a region covers; smaller ones give no prompt."""
_LOGIT = 10.0
"""About the largest magnitude of mask logits of SAM."""


class _Region(NamedTuple):
    """A connected region of one class: its pixels (H, W) bool and its prompt."""

    number: int
    pixels: NDArray[np.bool_]
    prompt: Prompt
    score: float


def redraw_regions(
    segmentation: Tensor,
    scores: Tensor,
    image: InputImage,
    segmenter: Segmenter,
    *,
    with_background: bool,
    min_score: float = MIN_SCORE,
    min_share: float = MIN_SHARE,
) -> Tensor:
    """Return the class (H, W) of every pixel with regions as a segmenter draws them.

    Args:
        segmentation: indices of classes (H, W) int64, -1 where there is none.
        scores: score of the best class at each pixel (H, W).
        image: the image, of the same size.
        segmenter: called once with one prompt for each region.
        with_background: whether pixels that a redrawn region leaves become -1; otherwise they keep
            their class.
        min_score: lowest rating of a mask by the segmenter; regions without one are kept.
        min_share: lowest share of the image that a region covers to be redrawn.

    Raises:
        InputError: if the sizes differ, or the segmenter returns something else than one entry for
            each prompt, with masks of the size of the image.
    """
    size = tuple(image.size)
    if tuple(segmentation.shape) != size or tuple(scores.shape) != size:
        raise InputError(
            f"{image.name}: expected a segmentation and scores of {size}, but got "
            f"{tuple(segmentation.shape)} and {tuple(scores.shape)}."
        )
    regions = _regions(
        segmentation, scores, min_area=max(1, round(min_share * segmentation.numel()))
    )
    if not regions:
        return segmentation
    candidates = segmenter(image, [region.prompt for region in regions])
    if len(candidates) != len(regions):
        raise InputError(
            f"{image.name}: expected {len(regions)} results of the segmenter, "
            f"but got {len(candidates)}."
        )
    redrawn, drawn = segmentation.clone(), []
    for region, candidate in zip(regions, candidates, strict=True):
        best = int(candidate.scores.argmax())
        mask = candidate.masks[best].to(segmentation.device)
        if tuple(mask.shape) != size:
            raise InputError(
                f"{image.name}: expected masks of {size} from the segmenter, "
                f"but got {tuple(mask.shape)}."
            )
        region_mask = torch.from_numpy(region.pixels).to(segmentation.device)
        accepted = float(candidate.scores[best]) >= min_score and bool(mask.any())
        drawn.append((region, mask if accepted else region_mask))
        if accepted and with_background:
            redrawn[region_mask] = -1
    for region, mask in sorted(drawn, key=lambda entry: entry[0].score):
        redrawn[mask] = region.number
    return redrawn


def _regions(segmentation: Tensor, scores: Tensor, *, min_area: int) -> list[_Region]:
    """The connected regions of every class, with their prompts."""
    from scipy import ndimage  # takes a third of a second, which other tasks do not need

    numbers, values = segmentation.cpu().numpy(), scores.float().cpu().numpy()
    regions = []
    for number in np.unique(numbers[numbers >= 0]).tolist():
        labels, count = ndimage.label(numbers == number)
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        for label, box in enumerate(ndimage.find_objects(labels), start=1):
            if areas[label] < min_area:
                continue
            pixels = labels == label
            inside = np.where(pixels, values, -np.inf)
            y, x = np.unravel_index(int(inside.argmax()), inside.shape)
            prompt = Prompt(
                xy=np.array([[x, y]], dtype=np.float32),
                labels=np.array([1], dtype=np.int64),
                box=(box[1].start, box[0].start, box[1].stop, box[0].stop),
                logits=torch.from_numpy(np.where(pixels, _LOGIT, -_LOGIT).astype(np.float32)),
            )
            regions.append(_Region(number, pixels, prompt, float(values[pixels].mean())))
    return regions
