"""Rank images by the cosine of their features with the feature of a text or of another image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from clip_surgery.errors import InputError, WeightsError
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import InputImage
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.patch_features import features_per_image
from clip_surgery.text.bank import encode_texts

_SHORTEST = 1e-12  # length below which a feature has no direction


class Hit(NamedTuple):
    """The position of an image among those that were searched, and its cosine with the query."""

    position: int
    similarity: float


def rank_images(query: Tensor, features: Tensor, *, top: int = 5) -> list[Hit]:
    """Return the images that are most similar to a query, the best first.

    Images of equal similarity keep their order.

    Args:
        query: feature (D,) of the query, of any length.
        features: features (n, D) of n images, of any length.
        top: maximum number of images.

    Raises:
        InputError: if the widths differ, a value is not finite, or `top` is below 1.

    Example:
        >>> rank_images(torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 2.0], [3.0, 0.0]]), top=1)
        [Hit(position=1, similarity=1.0)]
    """
    if top < 1:
        raise InputError(f"Expected top of at least 1 image, but got {top}.")
    if features.ndim != 2 or tuple(query.shape) != (features.shape[1],):
        raise InputError(
            f"Expected features (n, D) and a query (D,), but got {tuple(features.shape)} "
            f"and {tuple(query.shape)}."
        )
    lengths = torch.linalg.vector_norm(features, dim=-1, dtype=torch.float32)
    cosines = features.float() @ normalize(query.float(), dim=-1) / lengths.clamp(min=_SHORTEST)
    if not bool(cosines.isfinite().all()):
        raise InputError("Expected finite features, but got others.")
    order = cosines.argsort(descending=True, stable=True)[:top].tolist()
    return [Hit(position, float(cosines[position])) for position in order]


def image_features(explainer: Explainer, images: Sequence[InputImage]) -> Tensor:
    """Return the model's own features of images (n, D), not normalised, float32 on the CPU.

    Args:
        explainer: the model, its framing and its batch size.
        images: n images.
    """
    backbone = explainer.backbone

    def features_of(pixels: Tensor) -> Tensor:
        return walk(backbone.tower, backbone.normalise(pixels)).image

    return torch.stack(features_per_image(explainer, images, features_of))


def unit_features(explainer: Explainer, images: Sequence[InputImage]) -> Tensor:
    """Return the image features (n, D) of `image_features` scaled to length 1.

    Raises:
        WeightsError: if a feature is not finite or zero.
    """
    features = image_features(explainer, images)
    lengths = torch.linalg.vector_norm(features, dim=-1, keepdim=True)
    if not bool((lengths.isfinite() & (lengths > 0)).all()):
        raise WeightsError(
            f"{explainer.backbone.name}: its image features are not finite, or zero. Check the "
            "weights for NaN, or load the model in float32."
        )
    return features.div(lengths)


def query_feature(explainer: Explainer, text: str) -> Tensor:
    """Return the feature (D,) of a text as it is, without templates, float32 on the CPU.

    It is the feature that `explain_match` explains.

    Raises:
        InputError: if the text is empty or too long.
    """
    if not text.strip():
        raise InputError("Expected a text to search for, but got an empty one.")
    with torch.no_grad():
        features = encode_texts(
            explainer.backbone, [text], templates=("{}",), truncate=explainer.truncate
        )
    return features.labels[0].float().cpu()
