"""Attention rollout: the attention of the class token to patches, multiplied through all blocks.

Source: Abnar and Zuidema, "Quantifying Attention Flow in Transformers" (ACL 2020, arXiv
2005.00928). It does not use the texts: all texts have the same map, which is a baseline for methods
that do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Tower
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.method import Evidence
from clip_surgery.methods.requirements import Part, require
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.heads import checked_grid, project_heads
from clip_surgery.surgery.trace import step_through
from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """The class token's row of the product over blocks of A / 2 + I / 2.

    A is the attention of a block, averaged over heads, and I the identity matrix.
    """

    name: ClassVar[str] = "rollout"
    paper: ClassVar[str] = "Attention rollout (ACL 2020, arXiv 2005.00928)"
    needs_gradient: ClassVar[bool] = False
    needs: ClassVar[frozenset[Part]] = frozenset({"class token"})

    def __call__(self, backbone: Backbone, pixels: Tensor, texts: TextFeatures) -> Evidence:
        """Return the attention that reaches the class token, the same for all texts.

        Raises:
            UnsupportedModelError: if the tower has no class token.
        """
        require(backbone, self.needs, purpose=self.name)
        tower = backbone.tower
        grid = checked_grid(tower, pixels)
        row, tokens = _roll(tower.at(grid), pixels, grid)
        image = cosine(tower.pool(tokens), texts.labels)  # (B, C)
        maps = row[:, None].expand(-1, image.shape[1], -1).clone()
        return Evidence(patches=maps, similarity=None, image=image, grid=grid)


def _roll(tower: Tower, pixels: Tensor, grid: PatchGrid) -> tuple[Tensor, Tensor]:
    """Return the rollout from class token to patches (B, P), and the last block's tokens."""
    tokens = tower.embed(pixels)
    identity = torch.eye(tokens.shape[1], dtype=torch.float32, device=tokens.device)
    rollout = identity.expand(len(tokens), -1, -1)
    for block in tower.blocks:
        # The matrices of one block are in memory at a time, not those of all blocks.
        step = step_through(block, tokens, project_heads(tower, block, tokens, grid))
        attention = step.attention.mean(dim=1).float()  # (B, N, N)
        rolled = attention @ rollout
        rollout = (rollout + rolled) / 2 if block.residual else rolled
        tokens = step.tokens
    return rollout[:, 0, tower.prefix_tokens :], tokens
