"""Least-squares fit of cosines of masked images and masked sentences by regions, words and pairs.

Source: FIxLIP, "Explaining Similarity in Vision-Language Encoders with Weighted Banzhaf
Interactions" (arXiv 2508.05430), with masks of probability 1/2. Differences from the paper: pairs
are of one region and one word only. The fit is then separable, so that the regression over all M K
pairs of masks has a closed form: with S (M, K) the cosines, Z = [1, z - 1/2] and T = [1, t - 1/2],

    B = pinv(Z) S pinv(T)^T.

Letters: M image masks, K sentences, P regions, W words.
"""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.errors import InputError


def masked_fit(cosines: Tensor, regions: Tensor, words: Tensor) -> Tensor:
    """Return the coefficients B (1 + P, 1 + W) of the least-squares fit, float64.

    B[0, 0] is the mean, B[1 + p, 0] the effect of a region, B[0, 1 + j] that of a word, and
    B[1 + p, 1 + j] how much more a word adds if the region is visible.

    Args:
        cosines: S (M, K).
        regions: z (M, P) bool, the visible regions of each masked image.
        words: t (K, W) bool, the words of each masked sentence.

    Raises:
        InputError: if the shapes do not agree, or there are no more masks than regions.

    Example:
        >>> words = torch.tensor([[False], [True]])
        >>> cosines = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
        >>> masked_fit(cosines, words, words).round(decimals=6).tolist()
        [[0.25, 0.5], [0.5, 1.0]]
    """
    if tuple(cosines.shape) != (len(regions), len(words)):
        raise InputError(
            f"Expected cosines of shape {(len(regions), len(words))}, "
            f"but got {tuple(cosines.shape)}."
        )
    if len(regions) <= regions.shape[1]:
        raise InputError(
            f"Expected more masks than the {regions.shape[1]} regions, but got {len(regions)}."
        )
    left, right = torch.linalg.pinv(_design(regions)), torch.linalg.pinv(_design(words))
    coefficients: Tensor = left @ cosines.double() @ right.T
    return coefficients


def r_squared(
    cosines: Tensor, regions: Tensor, words: Tensor, coefficients: Tensor, *, pairs: bool = True
) -> float:
    """Return the R2 of a fit on masks, 0 if the cosines do not vary.

    Args:
        cosines: S (M, K).
        regions: z (M, P) bool.
        words: t (K, W) bool.
        coefficients: B (1 + P, 1 + W).
        pairs: whether the pairs of regions and words are part of the prediction.
    """
    used = coefficients.clone()
    if not pairs:
        used[1:, 1:] = 0
    predicted = _design(regions) @ used @ _design(words).T
    expected = cosines.double()
    total = float((expected - expected.mean()).square().mean())
    if total <= 1e-12:
        return 0.0
    return 1 - float((expected - predicted).square().mean()) / total


def _design(masks: Tensor) -> Tensor:
    """Return [1, mask - 1/2] in float64."""
    centred = masks.double() - 0.5
    return torch.cat([torch.ones_like(centred[:, :1]), centred], dim=1)
