"""Trace a text tower as one graph from token ids to features of unit length."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.nn.functional import normalize

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.block import run_block
from clip_surgery.export.traced_tower import MAX_BATCH, modules_used, traced

TEXT_INPUTS, TEXT_OUTPUTS = ("ids",), ("features",)


class PromptTower(nn.Module):
    """A module that maps token ids of prompts to their features.

    Args:
        backbone: the model.

    Example:
        >>> from clip_surgery.backbones.loading import load_backbone
        >>> backbone = load_backbone("demo")
        >>> PromptTower(backbone)(backbone.text_tower.tokenize(["a dog", "a cat"])).shape
        torch.Size([2, 128])
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone, self.training = backbone, False
        example = self.example()
        self.parts = nn.ModuleList(modules_used(backbone.model, lambda: self(example)))

    def forward(self, ids: Tensor) -> Tensor:
        """Return features of unit length (N, D), float32, for token ids (N, T)."""
        tower = self.backbone.text_tower
        if tower.encode is not None:
            return normalize(tower.encode(ids).float(), dim=-1)
        tokens = tower.embed(ids)
        mask = None
        if tower.causal:
            length = ids.shape[1]
            mask = torch.full((length, length), float("-inf"), dtype=tokens.dtype).triu(1)
        for block in tower.blocks:
            tokens = run_block(block, tokens, mask)
        ends = tower.end_positions(ids)[:, None, None].expand(-1, 1, tokens.shape[-1])
        return normalize(tower.project(tokens.gather(1, ends))[:, 0].float(), dim=-1)

    def example(self) -> Tensor:
        """Return token ids of a few prompts, cut after the longest in a causal tower."""
        tower = self.backbone.text_tower
        ids = tower.tokenize(["a photo of a dog.", "two cats", ""])
        if not self.any_length:
            return ids
        return ids[:, : int(tower.end_positions(ids).max()) + 1]

    @property
    def any_length(self) -> bool:
        """Whether prompts may be cut after their end, so that short ones take less time."""
        tower = self.backbone.text_tower
        return tower.causal and tower.encode is None

    @property
    def longest(self) -> int:
        """Largest number of tokens; torch would need another graph for the full context."""
        return self.backbone.text_tower.context_length - (1 if self.any_length else 0)


def trace_text(module: PromptTower) -> ExportedProgram:
    """Return the text tower as one graph for any number of prompts.

    Raises:
        UnsupportedModelError: if torch cannot trace it; the message has the reason of torch.
    """
    shape: dict[int, Dim] = {0: Dim("batch", min=1, max=MAX_BATCH)}
    if module.any_length:
        shape[1] = Dim("length", min=2, max=module.longest)
    failure = f"{module.backbone.name}: torch.export cannot trace this text tower"
    return traced(module, module.example(), {"ids": shape}, failure=failure)
