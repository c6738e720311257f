"""Grad-ECLIP: values weighted by gradients per channel and by query-key similarity per patch.

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

    For patch i and channel e, g is the gradient of the cosine with respect to the attention output
    of the class token before the out-projection O, v are the values of the patches, and
    l = minmax(cos(O q_class, O k_i)) is the similarity of the key to the query of the class token,
    which is 1 for all patches if they have the same similarity.
    """

    name = "grad_eclip"
    paper = "Grad-ECLIP (ICML 2024, arXiv 2502.18816)"
    needs: ClassVar[frozenset[Part]] = frozenset({"gradients", "class token"})

    def explain(self, backbone: Backbone, pixels: Tensor, text_features: Tensor) -> Evidence:
        """Return the evidence, with gradients of the class token's row of the last block only."""
        traced = trace_image(backbone.tower, pixels)
        scores = cosine(traced.image, text_features)  # (B, C)
        step = traced.steps[-1]
        prefix = step.heads.prefix_tokens
        value = join_heads(step.heads.value[:, :, prefix:]).detach().float()  # (B, P, E)
        maps = [
            torch.einsum("cbe,bpe->bcp", gradient[..., 0, :].flatten(2), value)
            for (gradient,) in gradients_per_text(
                scores, [step.received], texts_at_a_time=self.texts_at_a_time
            )
        ]
        weights = _key_similarity(step)[:, None]  # (B, 1, P)
        return Evidence(
            patches=(torch.cat(maps, dim=1) * weights).relu(),
            similarity=None,
            image=scores,
            grid=traced.grid,
        )


def _key_similarity(step: Step) -> Tensor:
    """Return l, the similarity of each patch's key to the class token's query, (B, P) in [0, 1]."""
    heads, project_out = step.heads, step.block.attention.project_out
    with torch.no_grad():
        query = project_out(join_heads(heads.query[:, :, :1])).float()  # (B, 1, E)
        key = project_out(join_heads(heads.key[:, :, heads.prefix_tokens :])).float()  # (B, P, E)
        similarity = cosine_similarity(query, key, dim=-1)
        low, high = similarity.aminmax(dim=-1, keepdim=True)
        return torch.where(high > low, (similarity - low) / (high - low), 1.0)
