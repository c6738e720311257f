"""Read the ResNets of open_clip (RN50 to RN50x64) as a `Tower` with one block.

The convolutions are the embedding. The pixels of the last feature map become the patch tokens, and
their mean is the prefix token; positions are added. The attention pool is the only block, without
residual and without feed-forward network. Its layer c_proj maps to the joint space, so that it is
the projection of the tower and not the out-projection of the block. Batch norms always use their
running statistics, also in training mode, and these are not updated.
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
"""Side in pixels of a patch, a pixel of the last feature map: 2 (stem) x 2 (pool) x 8."""


def read_resnet(visual: Any, mode: PositionMode) -> Tower:
    """Return the Tower of a `ModifiedResNet`, for images whose sides are multiples of 32 pixels.

    Args:
        visual: the `ModifiedResNet`.
        mode: interpolation of position embeddings.
    """
    pool = visual.attnpool

    def embed(pixels: Tensor) -> Tensor:
        # some versions of open_clip store one number, some a pair
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

    def pool_prefix(tokens: Tensor) -> Tensor:
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
        pool=pool_prefix,
        pool_reads="prefix",
        prefix_tokens=1,
        patch_size=STRIDE,
        width=width,
    )


def _features(visual: Any, maps: Tensor) -> Tensor:
    """The last feature map of pixels: a stem of three convolutions, then four stages."""
    for step in (1, 2, 3):
        convolved = getattr(visual, f"conv{step}")(maps)
        maps = _normed(getattr(visual, f"bn{step}"), convolved).relu()
    maps = visual.avgpool(maps)
    for stage in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        for bottleneck in stage:
            maps = _run_bottleneck(bottleneck, maps)
    return maps


def _run_bottleneck(bottleneck: Any, maps: Tensor) -> Tensor:
    """One bottleneck block; average pools replace strides, also in the shortcut."""
    residual = _normed(bottleneck.bn1, bottleneck.conv1(maps)).relu()
    residual = _normed(bottleneck.bn2, bottleneck.conv2(residual)).relu()
    residual = _normed(bottleneck.bn3, bottleneck.conv3(bottleneck.avgpool(residual)))
    if bottleneck.downsample is not None:
        pooled, convolution, norm = bottleneck.downsample
        maps = _normed(norm, convolution(pooled(maps)))
    return (residual + maps).relu()


def _normed(norm: Any, maps: Tensor) -> Tensor:
    """Batch norm with the running statistics, independent of the mode of the model."""
    return F.batch_norm(
        maps, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
