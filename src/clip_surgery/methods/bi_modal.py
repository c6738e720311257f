"""Generic attention: the attention of each block times the gradient with respect to it.

Source: Chefer, Gur, Wolf, "Generic Attention-model Explainability for Interpreting Bi-Modal and
Encoder-Decoder Transformers" (ICCV 2021, arXiv 2103.15679), for the image tower of CLIP.
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
    """The class token's row of R; R starts as the identity matrix and is updated block by block.

    With A the attention of a block, y the score and the mean over heads h,

        R <- R + mean_h ReLU(dy/dA * A) R

    Attributes:
        depth: number of last blocks that are included; all blocks if it exceeds their number.

    Raises:
        InputError: if depth is below 1.
    """

    name = "bi_modal"
    paper = "Generic attention (ICCV 2021, arXiv 2103.15679)"
    needs: ClassVar[frozenset[Part]] = frozenset({"gradients", "class token"})

    depth: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 1:
            raise InputError(f"Expected depth to be 1 block or more, but got {self.depth}.")

    def explain(self, backbone: Backbone, pixels: Tensor, text_features: Tensor) -> Evidence:
        """Return the class token's row of R for each text, without its prefix tokens.

        Only this row is computed, from the last block to the first, so that no two N x N matrices
        are multiplied.
        """
        tower = backbone.tower
        traced = trace_image(tower, pixels, depth=self.depth)
        scores = cosine(traced.image, text_features)  # (B, C)
        received = [step.received for step in traced.steps]
        rows = []
        for group in gradients_per_text(scores, received, texts_at_a_time=self.texts_at_a_time):
            for gradients in zip(*group, strict=True):  # one text; one gradient per block
                row = torch.zeros_like(traced.steps[0].entry[..., 0], dtype=torch.float32)
                row[:, 0] = 1  # the class token's row of the identity matrix, (B, N)
                for step, gradient in zip(reversed(traced.steps), reversed(gradients), strict=True):
                    row = row + _row_times_relevance(row, step, gradient)
                rows.append(row[:, tower.prefix_tokens :])
        return Evidence(
            patches=torch.stack(rows, dim=1), similarity=None, image=scores, grid=traced.grid
        )


def _row_times_relevance(row: Tensor, step: Step, gradient: Tensor) -> Tensor:
    """Return row (B, N) times mean_h ReLU(dy/dA * A), with dy/dA = dy/d(A v) v^T: (B, N)."""
    attention, value = step.attention.detach().float(), step.heads.value.detach().float()
    attention_gradient = gradient @ value.transpose(-2, -1)  # (B, h, n, N)
    relevance = (attention_gradient * attention).relu().mean(dim=1)
    # The last block has n prefix rows only, and the other elements of its input row are zero.
    return torch.einsum("bn,bnm->bm", row[:, : relevance.shape[1]], relevance)
