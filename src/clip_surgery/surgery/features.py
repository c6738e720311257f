"""Feature surgery: what all texts share is taken out of a similarity.

Source: CLIP Surgery (arXiv 2304.05653), equations of feature surgery; the closed form on the
similarity equals the released tensor form [B, P, C, D] and needs no such tensor. Letters:
B images, P patches, C texts, R reference words, D joint width.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.errors import InputError, UnknownNameError

Weighting = Literal["reference", "paper"]


def cosine(features: Tensor, texts: Tensor) -> Tensor:
    """Cosine of features (..., D) with text features (C, D), in float32: (..., C)."""
    unit = normalize(features.float(), dim=-1)
    return unit @ normalize(texts.float(), dim=-1).T.to(unit.device)


def feature_surgery(
    similarity: Tensor,
    class_similarity: Tensor,
    *,
    temperature: float = 2.0,
    weighting: Weighting = "reference",
    reference: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Take out of a patch-text similarity what the texts share, weighted by the class feature.

    w = softmax(temperature c) / mean; the shared part of a patch is mean over texts of w S.
    "reference" returns w S - mean(w S), what the released code computes; "paper" returns
    S - mean(w S), the paper's equations: one bias a patch, so the order of texts is kept.

    Args:
        similarity: S (B, P, C).
        class_similarity: c (B, C), the class feature's.
        temperature: tau.
        weighting: "reference" or "paper".
        reference: S (B, P, R) and c (B, R) of a fixed vocabulary; then the shared part and the
            scale of w come from these words instead of the texts, and the map of a text does
            not change with its neighbours.

    Returns:
        (B, P, C). With one text and no reference it is zero everywhere: nothing is unshared.

    Raises:
        InputError: when the shapes do not belong together or temperature is not finite.
        UnknownNameError: for another weighting.

    Example:
        >>> similarity = torch.tensor([[[0.3, 0.1], [0.2, 0.2]]])
        >>> feature_surgery(similarity, torch.zeros(1, 2)).tolist()[0][1]
        [0.0, 0.0]
    """
    if weighting not in get_args(Weighting):
        raise UnknownNameError.among("weighting", weighting, get_args(Weighting))
    if not math.isfinite(temperature):
        raise InputError(f"Expected a finite temperature, but got {temperature}.")
    _check_pair(similarity, class_similarity)
    shared, shared_class = reference or (similarity, class_similarity)
    _check_pair(shared, shared_class)

    # exp(tau c) / mean exp(tau c), shifted so that no exponential can overflow
    shift = shared_class.amax(dim=-1, keepdim=True)
    mean = (temperature * (shared_class - shift)).exp().mean(dim=-1, keepdim=True)
    weights = (temperature * (class_similarity - shift)).exp() / mean  # (B, C)
    weighted = similarity * weights[:, None]  # (B, P, C)
    if reference is None:
        bias = weighted.mean(dim=-1, keepdim=True)  # (B, P, 1)
    else:
        reference_weights = (temperature * (shared_class - shift)).exp() / mean
        count = shared.shape[-1]
        bias = torch.einsum("bpr,br->bp", shared, reference_weights)[..., None] / count
    return (weighted if weighting == "reference" else similarity) - bias


def _check_pair(similarity: Tensor, class_similarity: Tensor) -> None:
    batch, texts = similarity.shape[0], similarity.shape[-1]
    if similarity.ndim != 3 or tuple(class_similarity.shape) != (batch, texts):
        raise InputError(
            "Expected similarity (B, P, C) and class similarity (B, C), "
            f"but got {tuple(similarity.shape)} and {tuple(class_similarity.shape)}."
        )
