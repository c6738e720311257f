"""LeGrad: what each block's attention adds to the score of that block's own tokens.

Source: Bousselham et al., "LeGrad: An Explainability Method for Vision Transformers via Feature
Formation Sensitivity" (arXiv 2404.03214). Maps are not min-maxed here; tasks do that.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import finish_block, join_heads, run_block
from clip_surgery.backbones.tower import Block, Tower
from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.gradient import GradientMethod
from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.attention import attend
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.gradients import gradients_per_text
from clip_surgery.surgery.trace import first_of
from clip_surgery.surgery.walk import checked_grid, project_heads


@dataclass(frozen=True, kw_only=True)
class LeGrad(GradientMethod):
    """Sum over the last blocks of mean over heads and query rows of ReLU(ds_l/dA_l).

    s_l is the cosine of a text and the mean of all tokens after block l, brought to the joint
    space as if it were the last block: no class token is needed.

    Attributes:
        depth: how many of the last blocks (the paper's code: 2, from the second-last on); more
            than there are means all.
    """

    name = "legrad"
    paper = "LeGrad (ICCV 2025, arXiv 2404.03214)"

    depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 1:
            raise InputError(f"Expected depth to be 1 block or more, but got {self.depth}.")

    def explain(self, backbone: Backbone, pixels: Tensor, labels: Tensor) -> Evidence:
        """Differentiate each block by itself: no graph reaches over more than one."""
        tower = backbone.tower
        first, grid = first_of(tower, self.depth), checked_grid(tower, pixels)
        tower = tower.at(grid)
        with torch.no_grad():
            tokens = tower.embed(pixels)
            for block in tower.blocks[:first]:
                tokens = run_block(block, tokens)
        maps = tokens.new_zeros(len(pixels), len(labels), grid.patches, dtype=torch.float32)
        for block in tower.blocks[first:]:
            added, tokens = self._one_block(tower, block, tokens, labels, grid)
            maps += added
        return Evidence(
            patches=maps, similarity=None, image=cosine(tower.pool(tokens), labels), grid=grid
        )

    def _one_block(
        self, tower: Tower, block: Block, tokens: Tensor, labels: Tensor, grid: PatchGrid
    ) -> tuple[Tensor, Tensor]:
        """E_l (B, C, P), and the tokens after the block, without a graph."""
        with torch.no_grad():
            heads = project_heads(tower, block, tokens, grid)
            received = attend(heads.query, heads.key, heads.value, scale=heads.scale)
        output = finish_block(block, tokens, join_heads(received.requires_grad_()))
        pooled = tower.project(output.mean(dim=1, keepdim=True))[:, 0]
        groups = gradients_per_text(
            cosine(pooled, labels), [received], texts_at_a_time=self.texts_at_a_time
        )
        value = heads.value.float().transpose(-2, -1)  # (B, h, d, N)
        maps = [
            (gradient @ value).relu().mean(dim=(1, 2))[:, tower.prefix_tokens :]
            for (group,) in groups
            for gradient in group  # ds/dA = ds/d(A v) v^T, N x N for one text at a time
        ]
        return torch.stack(maps, dim=1), output.detach()
