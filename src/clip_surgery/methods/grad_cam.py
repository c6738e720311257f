"""Grad-CAM: channels of the patch tokens, weighted by their mean gradient.

Source: Selvaraju et al., "Grad-CAM" (ICCV 2017, arXiv 1610.02391), on the patch tokens that enter
the last attention, because later ones do not affect an image feature that is read from the class
token.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.methods.gradient import GradientMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.gradients import gradients_per_text
from clip_surgery.surgery.trace import ImageTrace, trace_image


@dataclass(frozen=True, kw_only=True)
class GradCam(GradientMethod):
    """ReLU(sum_e mean_p(dy/dA)_e A_pe) for channels e and patches p.

    A are the patch tokens of the last block after its norm, and y is the score of a text.
    """

    name = "grad_cam"
    paper = "Grad-CAM (ICCV 2017, arXiv 1610.02391)"

    def explain(self, backbone: Backbone, pixels: Tensor, text_features: Tensor) -> Evidence:
        """Return the weighted sum of the channels for each text; negative sums become zero."""
        traced = trace_image(backbone.tower, pixels)
        scores = cosine(traced.image, text_features)  # (B, C)
        weights = channel_weights(traced, scores, texts_at_a_time=self.texts_at_a_time)
        maps = torch.einsum("bce,bpe->bcp", weights, channel_maps(traced))
        return Evidence(patches=maps.relu(), similarity=None, image=scores, grid=traced.grid)


def channel_maps(traced: ImageTrace) -> Tensor:
    """Return the patch tokens A of the last block after its norm, (B, P, E) float32."""
    heads = traced.steps[-1].heads
    return heads.normed[:, heads.prefix_tokens :].detach().float()


def channel_weights(traced: ImageTrace, scores: Tensor, *, texts_at_a_time: int) -> Tensor:
    """Return the gradient of each text's score, averaged over patches, (B, C, E).

    Args:
        traced: the last block, traced.
        scores: (B, C), with an autograd graph.
        texts_at_a_time: number of texts whose gradients are in memory together.
    """
    heads = traced.steps[-1].heads
    means = [
        gradient[:, :, heads.prefix_tokens :].mean(dim=2)  # (c, B, E)
        for (gradient,) in gradients_per_text(
            scores, [heads.normed], texts_at_a_time=texts_at_a_time
        )
    ]
    return torch.cat(means).transpose(0, 1)
