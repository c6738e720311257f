"""LeGrad: the sensitivity of the score after each block to the attention of the block.

Source: Bousselham et al., "LeGrad: An Explainability Method for Vision Transformers via Feature
Formation Sensitivity" (arXiv 2404.03214). Maps are not scaled to [0, 1] here, because tasks do it.
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
from clip_surgery.surgery.heads import checked_grid, project_heads
from clip_surgery.surgery.trace import first_of


@dataclass(frozen=True, kw_only=True)
class LeGrad(GradientMethod):
    """The sum over the last blocks l of the mean over heads and query rows of ReLU(ds_l/dA_l).

    A_l is the attention of block l. s_l is the cosine of a text with the mean of all tokens after
    block l, projected to the joint space as after the last block, so no class token is needed.

    Attributes:
        depth: number of last blocks (2 in the authors' code); all blocks if it exceeds their
            number.

    Raises:
        InputError: if depth is below 1.
    """

    name = "legrad"
    paper = "LeGrad (ICCV 2025, arXiv 2404.03214)"

    depth: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.depth < 1:
            raise InputError(f"Expected depth to be 1 block or more, but got {self.depth}.")

    def explain(self, backbone: Backbone, pixels: Tensor, text_features: Tensor) -> Evidence:
        """Return the evidence; each block is differentiated separately, with a graph of its own."""
        tower = backbone.tower
        first, grid = first_of(tower, self.depth), checked_grid(tower, pixels)
        tower = tower.at(grid)
        with torch.no_grad():
            tokens = tower.embed(pixels)
            for block in tower.blocks[:first]:
                tokens = run_block(block, tokens)
        maps = tokens.new_zeros(len(pixels), len(text_features), grid.patches, dtype=torch.float32)
        for block in tower.blocks[first:]:
            block_maps, tokens = self._explain_block(tower, block, tokens, text_features, grid)
            maps += block_maps
        return Evidence(
            patches=maps,
            similarity=None,
            image=cosine(tower.pool(tokens), text_features),
            grid=grid,
        )

    def _explain_block(
        self, tower: Tower, block: Block, tokens: Tensor, text_features: Tensor, grid: PatchGrid
    ) -> tuple[Tensor, Tensor]:
        """Return the maps of one block (B, C, P) and its output tokens, both without a graph."""
        with torch.no_grad():
            heads = project_heads(tower, block, tokens, grid)
            received = attend(heads.query, heads.key, heads.value, scale=heads.scale)
        output = finish_block(block, tokens, join_heads(received.requires_grad_()))
        pooled = tower.project(output.mean(dim=1, keepdim=True))[:, 0]
        groups = gradients_per_text(
            cosine(pooled, text_features), [received], texts_at_a_time=self.texts_at_a_time
        )
        value = heads.value.float().transpose(-2, -1)  # (B, h, d, N)
        maps = [
            (gradient @ value).relu().mean(dim=(1, 2))[:, tower.prefix_tokens :]
            for (group,) in groups
            for gradient in group  # ds/dA = ds/d(A v) v^T, N x N for one text at a time
        ]
        return torch.stack(maps, dim=1), output.detach()
