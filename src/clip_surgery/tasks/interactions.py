"""Interactions of the words of a sentence with the regions of an image, by masks of both.

Source: FIxLIP (arXiv 2508.05430); see `surgery.masked_fit` and `text.word_directions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.framing import Framing
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.masked_fit import masked_fit, r_squared
from clip_surgery.surgery.walk import walk
from clip_surgery.text.word_directions import word_directions

_UNSEEN_MASKS = 200  # masked images on which the fit is judged


@dataclass(frozen=True, kw_only=True, eq=False)
class Interactions:
    """How words, regions, and pairs of both change the cosine of a sentence and an image.

    Attributes:
        words: the W words.
        word_scores: (W,), what a word adds on average over masked images and sentences.
        region_scores: (rows, columns), what a region adds on average.
        pair_scores: (W, rows, columns), how much more a word adds if the region is visible.
        fit: R2 on masked images that the fit has not seen.
        fit_without_pairs: the same R2 without the pairs.
        framing: how the image was resized.
        patch_regions: for each patch row and for each patch column, the index of its region.
    """

    words: tuple[str, ...]
    word_scores: Tensor
    region_scores: Tensor
    pair_scores: Tensor
    fit: float
    fit_without_pairs: float
    framing: Framing
    patch_regions: tuple[Tensor, Tensor]

    def patch_scores(self) -> Tensor:
        """Return the pair scores of each word by patch instead of by region (W, rows, columns)."""
        rows, columns = self.patch_regions
        return self.pair_scores[:, rows][:, :, columns]

    def maps(self) -> Tensor:
        """Return the pair scores of each word at the size of the image (W, H, W'), not scaled."""
        return torch.stack([self.framing.restore_map(scores) for scores in self.patch_scores()])


def interactions(
    explainer: Explainer,
    image: ImageSource,
    sentence: str,
    *,
    phrases: Sequence[str] = (),
    regions: int = 6,
    masks: int = 300,
) -> Interactions:
    """Return which words of a sentence interact with which regions of an image.

    Regions are hidden by the mean colour of the model's training images, and words are deleted. The
    masks are the same in every call.

    Args:
        explainer: the model; its method is not used.
        image: the image.
        sentence: the sentence, in any language.
        phrases: parts of the sentence that count as one word each (see `split_words`).
        regions: number of rows and columns of regions, at most those of the patches.
        masks: number of masked images, more than the number of regions.

    Raises:
        InputError: if the image, the sentence or a phrase cannot be used, `regions` is below 1, or
            there are no more masks than regions.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> result = interactions(
        ...     load("demo"), Image.radial_gradient("L"), "a clock", regions=2, masks=16)
        >>> result.words, result.pair_scores.shape
        (('a', 'clock'), torch.Size([2, 2, 2]))
    """
    if regions < 1:
        raise InputError(f"Expected at least 1 row of regions, but got {regions}.")
    input_image = read_image(image)
    pixels = explainer.pixels(input_image)
    grid = explainer.backbone.tower.grid(pixels)
    rows = torch.arange(grid.rows) * min(regions, grid.rows) // grid.rows
    columns = torch.arange(grid.columns) * min(regions, grid.columns) // grid.columns
    shape = (int(rows[-1]) + 1, int(columns[-1]) + 1)
    if masks <= shape[0] * shape[1]:
        raise InputError(
            f"Expected more masks than the {shape[0] * shape[1]} regions, but got {masks}."
        )
    directions = word_directions(
        explainer.backbone, sentence, phrases=phrases, truncate=explainer.truncate
    )
    generator = torch.Generator().manual_seed(0)
    visible = torch.rand(masks + _UNSEEN_MASKS, shape[0] * shape[1], generator=generator) < 0.5
    by_patch = visible.view(-1, *shape)[:, rows][:, :, columns]
    cosines = _cosines(explainer, pixels, by_patch, directions.features)
    coefficients = masked_fit(cosines[:masks], visible[:masks], directions.presence)
    unseen = (cosines[masks:], visible[masks:], directions.presence, coefficients)
    single, pairs = coefficients[0, 1:], coefficients[1:, 1:]
    return Interactions(
        words=tuple(word.text for word in directions.words),
        word_scores=single.float(),
        region_scores=coefficients[1:, 0].float().view(shape),
        pair_scores=pairs.T.float().reshape(-1, *shape),
        fit=r_squared(*unseen),
        fit_without_pairs=r_squared(*unseen, pairs=False),
        framing=explainer.frame(input_image),
        patch_regions=(rows, columns),
    )


def _cosines(explainer: Explainer, pixels: Tensor, visible: Tensor, texts: Tensor) -> Tensor:
    """Return the cosines (M, K) of masked images with texts, on the CPU.

    Args:
        explainer: the model and its batch size.
        pixels: normalised pixels of one image (1, 3, H, W), in which 0 is the mean colour.
        visible: the visible patches of each mask (M, rows, columns), bool.
        texts: features of K texts (K, D).
    """
    tower, side = explainer.backbone.tower, explainer.backbone.tower.patch_size
    batches: list[Tensor] = []
    with torch.no_grad():
        for batch in torch.split(visible, explainer.batch_size):
            by_pixel = batch.repeat_interleave(side, 1).repeat_interleave(side, 2)
            masked = pixels * by_pixel[:, None].to(pixels.device, pixels.dtype)
            batches.append(cosine(walk(tower, masked).image, texts).cpu())
    return torch.cat(batches)
