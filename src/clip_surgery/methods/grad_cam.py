"""Grad-CAM: channels of the last tokens, weighted by their mean gradient.

Source: Selvaraju et al., "Grad-CAM" (ICCV 2017, arXiv 1610.02391), on the patch tokens that enter
the last attention: later ones do not reach an image feature that is read from the class token.
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
    """ReLU(sum_e mean_p(dy/dA)_e A_pe) with A the normed patch tokens of the last block."""

    name = "grad_cam"
    paper = "Grad-CAM (ICCV 2017, arXiv 1610.02391)"

    def explain(self, backbone: Backbone, pixels: Tensor, labels: Tensor) -> Evidence:
        """Weight channels by their mean gradient and keep what speaks for the text."""
        traced = trace_image(backbone.tower, pixels)
        scores = cosine(traced.image, labels)  # (B, C)
        weights = channel_weights(traced, scores, texts_at_a_time=self.texts_at_a_time)
        maps = torch.einsum("bce,bpe->bcp", weights, channel_maps(traced))
        return Evidence(patches=maps.relu(), similarity=None, image=scores, grid=traced.grid)


def channel_maps(traced: ImageTrace) -> Tensor:
    """A, the normed patch tokens of the last block (B, P, E), float32."""
    heads = traced.steps[-1].heads
    return heads.normed[:, heads.prefix_tokens :].detach().float()


def channel_weights(traced: ImageTrace, scores: Tensor, *, texts_at_a_time: int) -> Tensor:
    """mean_p(dy/dA)_e of each text (B, C, E)."""
    heads = traced.steps[-1].heads
    means = [
        gradient[:, :, heads.prefix_tokens :].mean(dim=2)  # (c, B, E)
        for (gradient,) in gradients_per_text(
            scores, [heads.normed], texts_at_a_time=texts_at_a_time
        )
    ]
    return torch.cat(means).transpose(0, 1)
