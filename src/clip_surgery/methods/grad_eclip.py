"""Grad-ECLIP: gradient as channel weight, closeness of keys to the class query as patch weight.

Source: Zhao et al., "Gradient-based Visual Explanation for Transformer-based CLIP" (ICML 2024)
and "Grad-ECLIP" (arXiv 2502.18816).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import join_heads
from clip_surgery.methods.gradient import GradientMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.requirements import Part
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.gradients import gradients_per_text
from clip_surgery.surgery.trace import Step, trace_image


@dataclass(frozen=True, kw_only=True)
class GradEclip(GradientMethod):
    """ReLU(sum_e g_e v_ie l_i) in the last block.

    g is the gradient of the cosine by what the class token received, before the out-projection;
    v the patches' values; l their minmax(cos(O q_class, O k_i)), 1 where that is flat.
    """

    name = "grad_eclip"
    paper = "Grad-ECLIP (ICML 2024, arXiv 2502.18816)"
    needs: ClassVar[frozenset[Part]] = frozenset({"gradients", "class token"})

    def explain(self, backbone: Backbone, pixels: Tensor, labels: Tensor) -> Evidence:
        """One graph of the class row through the last block."""
        traced = trace_image(backbone.tower, pixels)
        scores = cosine(traced.image, labels)  # (B, C)
        step = traced.steps[-1]
        prefix = step.heads.prefix_tokens
        value = join_heads(step.heads.value[:, :, prefix:]).detach().float()  # (B, P, E)
        maps = [
            torch.einsum("cbe,bpe->bcp", gradient[..., 0, :].flatten(2), value)
            for (gradient,) in gradients_per_text(
                scores, [step.received], texts_at_a_time=self.texts_at_a_time
            )
        ]
        weights = _closeness(step)[:, None]  # (B, 1, P)
        return Evidence(
            patches=(torch.cat(maps, dim=1) * weights).relu(),
            similarity=None,
            image=scores,
            grid=traced.grid,
        )


def _closeness(step: Step) -> Tensor:
    """l, how close each patch's key is to the class token's query, (B, P) in [0, 1]."""
    heads, out = step.heads, step.block.attention.project_out
    with torch.no_grad():
        query = out(join_heads(heads.query[:, :, :1])).float()  # (B, 1, E)
        key = out(join_heads(heads.key[:, :, heads.prefix_tokens :])).float()  # (B, P, E)
        closeness = cosine_similarity(query, key, dim=-1)
        low, high = closeness.aminmax(dim=-1, keepdim=True)
        return torch.where(high > low, (closeness - low) / (high - low), 1.0)
