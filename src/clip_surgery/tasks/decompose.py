"""Decomposition of an image feature into contributions of the parts of the image tower.

Source: Gandelsman, Efros, Steinhardt (ICLR 2024, arXiv 2310.05916); see `surgery.decomposition`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import ImageSource, read_image
from clip_surgery.surgery.decomposed_feature import DecomposedFeature
from clip_surgery.surgery.decomposition import decompose_image


def decompose(explainer: Explainer, image: ImageSource) -> DecomposedFeature:
    """Return what each head, token and feed-forward network adds to the feature of an image.

    The sum of all contributions is the model's own image feature. The method of the explainer is
    not used.

    Args:
        explainer: the model.
        image: the image.

    Returns:
        The decomposed feature, on the CPU.

    Raises:
        InputError: if the image cannot be used.
        UnsupportedModelError: if the image feature is no sum of such contributions, for example
            because a norm follows the out-projection (EVA-02-E).

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo")
        >>> parts = decompose(explainer, Image.radial_gradient("L"))
        >>> scores = parts.scores(explainer.encode(["clock", "cow"]).labels)
        >>> scores.heads.shape[0], scores.total().shape[0]
        (2, 2)
    """
    pixels = explainer.pixels(read_image(image))
    with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
        parts = decompose_image(explainer.backbone.tower, pixels)
    tensors: dict[str, Any] = {
        name: part.cpu() for name, part in vars(parts).items() if isinstance(part, Tensor)
    }
    return replace(parts, **tensors)
