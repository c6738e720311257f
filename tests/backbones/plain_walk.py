"""A plain implementation of the forward pass of a Backbone, with which walks are compared."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.tower import Block, TextTower, Tower


def encode_pixels(tower: Tower, pixels: Tensor) -> Tensor:
    """Pixels (B, 3, H, W) to image features (B, D)."""
    tokens = tower.embed(pixels)
    for block in tower.at(tower.grid(pixels)).blocks:
        tokens = run_block(block, tokens, causal=False)
    return tower.pool(tokens)


def encode_ids(tower: TextTower, ids: Tensor) -> Tensor:
    """Token ids (C, T) to text features (C, D)."""
    if tower.encode is not None:
        return tower.encode(ids)
    tokens = tower.embed(ids)
    for block in tower.blocks:
        tokens = run_block(block, tokens, causal=tower.causal)
    features = tower.project(tokens)
    return features[torch.arange(len(ids)), tower.end_positions(ids)]


def run_block(block: Block, tokens: Tensor, *, causal: bool) -> Tensor:
    """One block, with the attention matrix computed explicitly."""
    attention = block.attention
    q, k, v = (
        part.unflatten(-1, (attention.heads, -1)).transpose(1, 2)
        for part in attention.project_in(block.norm_attention(tokens))
    )
    logits = attention.scale * (q @ k.transpose(-2, -1))
    if causal:
        future = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).triu(1)
        logits = logits.masked_fill(future, float("-inf"))
    attended = (logits.float().softmax(-1).to(v.dtype) @ v).transpose(1, 2).flatten(2)
    tokens = (
        tokens + attention.project_out(attended)
        if block.residual
        else attention.project_out(attended)
    )
    if block.feed_forward is None:
        return tokens
    return tokens + block.feed_forward(block.norm_feed_forward(tokens))


def encode_both(backbone: Backbone, pixels: Tensor, ids: Tensor) -> Tensor:
    """Cosines of images and texts (B, C)."""
    images = F.normalize(encode_pixels(backbone.tower, pixels), dim=-1)
    return images @ F.normalize(encode_ids(backbone.text_tower, ids), dim=-1).T
