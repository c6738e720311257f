"""Generic attention explanation of two-modality transformers: attention times its gradient.

Source: Chefer, Gur, Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
Encoder-Decoder Transformers" (ICCV 2021, arXiv 2103.15679), the image side of CLIP.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.methods.gradient import GradientMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.requirements import Part
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.gradients import gradients_per_text
from clip_surgery.surgery.trace import Step, trace_image


@dataclass(frozen=True, kw_only=True)
class BiModal(GradientMethod):
    """Class row of R, with R <- R + mean_h ReLU(dy/dA * A) R over the last blocks, from I.

    Attributes:
        depth: how many of the last blocks; more than there are means all.
    """

    name = "bi_modal"
    paper = "Generic attention (ICCV 2021, arXiv 2103.15679)"
    needs: ClassVar[frozenset[Part]] = frozenset({"gradients", "class token"})

    depth: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 1:
            raise InputError(f"Expected depth to be 1 block or more, but got {self.depth}.")

    def explain(self, backbone: Backbone, pixels: Tensor, labels: Tensor) -> Evidence:
        """Only the class row is carried, from the last block to the first: no product of N x N."""
        tower = backbone.tower
        traced = trace_image(tower, pixels, depth=self.depth)
        scores = cosine(traced.image, labels)  # (B, C)
        received = [step.received for step in traced.steps]
        rows = []
        for group in gradients_per_text(scores, received, texts_at_a_time=self.texts_at_a_time):
            for gradients in zip(*group, strict=True):  # of one text, a block each
                row = torch.zeros_like(traced.steps[0].entry[..., 0], dtype=torch.float32)
                row[:, 0] = 1  # the class token's row of I, (B, N)
                for step, gradient in zip(reversed(traced.steps), reversed(gradients), strict=True):
                    row = row + _carry(row, step, gradient)
                rows.append(row[:, tower.prefix_tokens :])
        return Evidence(
            patches=torch.stack(rows, dim=1), similarity=None, image=scores, grid=traced.grid
        )


def _carry(row: Tensor, step: Step, gradient: Tensor) -> Tensor:
    """Row (B, N) times mean_h ReLU(dy/dA * A), with dy/dA = dy/d(A v) v^T: (B, N)."""
    attention, value = step.attention.detach().float(), step.heads.value.detach().float()
    to_attention = gradient @ value.transpose(-2, -1)  # (B, h, n, N)
    relevance = (to_attention * attention).relu().mean(dim=1)
    # In the last block n counts the prefix rows alone; the row is zero beyond them there.
    return torch.einsum("bn,bnm->bm", row[:, : relevance.shape[1]], relevance)
