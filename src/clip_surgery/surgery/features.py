"""Feature surgery: remove the component of the patch-text similarity that all texts share.

Source: equations of feature surgery in CLIP Surgery (arXiv 2304.05653). The released code computes
them on a tensor (B, P, C, D); the closed form used here gives the same result from the similarity
(B, P, C) alone.

Letters: B images, P patches, C texts, R reference words, D joint width.
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
    """Return the cosine of features with text features, in float32.

    Args:
        features: (..., D), of any length.
        texts: (C, D), of any length.

    Returns:
        (..., C), on the device of `features`.
    """
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
    """Return the similarity without its component that all texts share.

    With S the similarity of patches with texts, c that of the image with texts, and the weights

        w_t = exp(temperature c_t) / mean over texts of exp(temperature c),

    the shared component of a patch is the mean over texts of w S. The weighting "reference"
    returns w S - mean(w S), as the released code does. The weighting "paper" returns S - mean(w S),
    the equations of the paper: one number is subtracted per patch, so the order of texts is kept.

    Args:
        similarity: S (B, P, C), the cosine of each patch with each text.
        class_similarity: c (B, C), the cosine of the image feature with each text.
        temperature: factor on c before the exponential; 2 in the paper.
        weighting: "reference" or "paper".
        reference: S (B, P, R) and c (B, R) of fixed reference words. If given, the shared
            component and the mean in w are computed over these words instead of the texts, so that
            the map of a text does not depend on the other texts.

    Returns:
        Evidence (B, P, C). For a single text without reference words the result is zero, because
        the whole similarity counts as shared.

    Raises:
        InputError: if the shapes do not match or the temperature is not finite.
        UnknownNameError: if the weighting is unknown.

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

    # Subtracting the highest c leaves w unchanged and prevents overflow of the exponentials.
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
