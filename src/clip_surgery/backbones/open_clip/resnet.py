"""open_clip's ResNets (RN50 ... RN50x64): convolutions embed, the attention pool is the one block.

The last feature map becomes tokens: their mean, then the pixels, plus positions. The attention pool
is a block without residual and without feed-forward. Its c_proj leaves the tower's width for the
joint space, so it is the tower's projection and not the block's out-projection; what a block gives
keeps the width of its tokens. Batch norms always use their running statistics: nothing is updated,
whether the model is in training mode or not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clip_surgery.backbones.patch_embedding import check_pixels
from clip_surgery.backbones.positions import PositionMode, interpolate_positions
from clip_surgery.backbones.projections import separate_projections
from clip_surgery.backbones.tower import Attention, Block, Tower
from clip_surgery.grid import PatchGrid

STRIDE = 32
"""Pixels a side that one pixel of the last feature map stands for: 2 (stem) x 2 (pool) x 8."""


def read_resnet(visual: Any, mode: PositionMode) -> Tower:
    """Read an open_clip `ModifiedResNet`; images of any whole multiple of 32 px."""
    pool = visual.attnpool

    def embed(pixels: Tensor) -> Tensor:
        # some versions keep one number, some a pair
        size = visual.image_size
        native = (size, size) if isinstance(size, int) else tuple(size)
        check_pixels(pixels, patch_size=STRIDE, native=native)
        maps = _features(visual, pixels.to(visual.conv1.weight.dtype))  # (B, E, rows, columns)
        grid = PatchGrid(rows=maps.shape[-2], columns=maps.shape[-1])
        patches = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([patches.mean(dim=1, keepdim=True), patches], dim=1)
        positions = interpolate_positions(
            pool.positional_embedding,
            native=PatchGrid(rows=native[0] // STRIDE, columns=native[1] // STRIDE),
            grid=grid,
            mode=mode,
        )
        return tokens + positions.to(tokens.dtype)

    def first(tokens: Tensor) -> Tensor:
        projected: Tensor = pool.c_proj(tokens[:, 0])
        return projected

    width, heads = int(pool.c_proj.in_features), int(pool.num_heads)
    block = Block(
        norm_attention=nn.Identity(),
        attention=Attention(
            heads=heads,
            scale=(width // heads) ** -0.5,
            project_in=separate_projections(pool.q_proj, pool.k_proj, pool.v_proj),
            project_out=nn.Identity(),
        ),
        norm_feed_forward=nn.Identity(),
        feed_forward=None,
        residual=False,
    )
    return Tower(
        embed=embed,
        blocks=(block,),
        project=pool.c_proj,
        pool=first,
        pool_reads="prefix",
        prefix_tokens=1,
        patch_size=STRIDE,
        width=width,
    )


def _features(visual: Any, maps: Tensor) -> Tensor:
    """Pixels to the last feature map: a stem of three convolutions, then four stages."""
    for step in (1, 2, 3):
        convolved = getattr(visual, f"conv{step}")(maps)
        maps = _normed(getattr(visual, f"bn{step}"), convolved).relu()
    maps = visual.avgpool(maps)
    for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        for bottleneck in stage:
            maps = _through(bottleneck, maps)
    return maps


def _through(bottleneck: Any, maps: Tensor) -> Tensor:
    """One bottleneck: strides are average pools, on the way and beside it."""
    way = _normed(bottleneck.bn1, bottleneck.conv1(maps)).relu()
    way = _normed(bottleneck.bn2, bottleneck.conv2(way)).relu()
    way = _normed(bottleneck.bn3, bottleneck.conv3(bottleneck.avgpool(way)))
    if bottleneck.downsample is not None:
        pooled, convolution, norm = bottleneck.downsample
        maps = _normed(norm, convolution(pooled(maps)))
    return (way + maps).relu()


def _normed(norm: Any, maps: Tensor) -> Tensor:
    return F.batch_norm(
        maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
