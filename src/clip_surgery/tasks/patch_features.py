"""Features of many images, and those of their patches, from which templates are chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from clip_surgery.explainer import Explainer
from clip_surgery.framed_images import batches_of_one_frame, framed_pixels
from clip_surgery.inputs.images import InputImage
from clip_surgery.stitched_windows import dense_method
from clip_surgery.text.features import TextFeatures


def patch_features(
    explainer: Explainer, images: Sequence[InputImage], texts: TextFeatures
) -> list[Tensor]:
    """Return the features of the patches of images by the explainer's dense method.

    Args:
        explainer: the model, its dense method, its framing and its batch size.
        images: n images.
        texts: features of texts, on which the features of some methods depend.

    Returns:
        One tensor (P, D) for each image, not normalised, float32 on the CPU.

    Raises:
        InputError: if the method is not dense.
        UnsupportedModelError: if the model lacks a part that the method needs.

    Example:
        >>> from PIL import Image
        >>> from clip_surgery.inputs.images import read_image
        >>> from clip_surgery.loading import load
        >>> explainer = load("demo", method="naclip")
        >>> image = read_image(Image.new("RGB", (128, 96)))
        >>> [features] = patch_features(explainer, [image], explainer.encode(["dog", "boat"]))
        >>> features.shape[0]
        192
    """
    method, backbone = dense_method(explainer), explainer.backbone
    method.check(backbone)

    def features_of(pixels: Tensor) -> Tensor:
        return method.features_for(backbone, backbone.normalise(pixels), texts).patches

    return features_per_image(explainer, images, features_of)


def features_per_image(
    explainer: Explainer, images: Sequence[InputImage], features_of: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return features of images, float32 on the CPU, which are computed in batches of one size.

    Args:
        explainer: the model, its framing and its batch size.
        images: n images.
        features_of: features (B, ...) of pixels (B, 3, H, W) in [0, 1].
    """
    framings = tuple(explainer.frame(image) for image in images)
    features_by_index: dict[int, Tensor] = {}
    for indices in batches_of_one_frame(framings, explainer.batch_size):
        pixels = torch.stack(
            [
                framed_pixels(
                    images[index], framings[index], mean_rgb=explainer.backbone.image_mean
                )
                for index in indices
            ]
        )
        with torch.no_grad():
            features = features_of(pixels).float().cpu()
        features_by_index.update(zip(indices, features, strict=True))
    return [features_by_index[index] for index in range(len(images))]
