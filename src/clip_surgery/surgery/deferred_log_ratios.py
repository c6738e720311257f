"""Log ratios to reference words, for methods that do not compute them, when they are first read."""

from __future__ import annotations

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.deferred_tensor import DeferredTensor
from clip_surgery.errors import WeightsError
from clip_surgery.framed_images import compact_pixels, full_pixels
from clip_surgery.surgery.consistent_features import consistent_features
from clip_surgery.surgery.reference_log_ratios import reference_log_ratios
from clip_surgery.text.features import TextFeatures


def deferred_log_ratios(backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> DeferredTensor:
    """Return the log ratios (B, 2, C) to the reference words, computed when they are read.

    They need the patch features of `consistent_features`, which cost a run of the model. Reading
    them raises a `WeightsError` if they are not finite.

    Args:
        backbone: the model.
        pixels: (B, 3, H, W) in [0, 1], with sides of whole patches.
        texts: features of C texts with reference words.
    """
    kept_pixels = compact_pixels(pixels)

    def compute() -> Tensor:
        normalised = backbone.normalise(full_pixels(kept_pixels))
        with torch.no_grad():
            features = consistent_features(backbone.tower, normalised)
            ratios = reference_log_ratios(features, texts, scale=backbone.logit_scale)
        if not torch.isfinite(ratios).all():
            raise WeightsError(
                f"{backbone.name}: the log ratios to the reference words are not finite. Check the "
                "weights for NaN, or load the model in float32."
            )
        return ratios.float().cpu()

    return DeferredTensor(compute)
