"""Read a transformer of timm: inside an open_clip model (SigLIP, EVA, PE, ...), or alone (DINO).

Supported are `timm.models.vision_transformer.VisionTransformer` and `timm.models.eva.Eva`, with or
without class token and registers, with learnt or rotary positions, with or without a convolutional
stem, pooled by class token, by mean or by a learnt query. ConvNeXt, Swin, FastViT and relative
positions are not supported, because they are not a stack of pre-norm blocks over one set of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.layers import HybridEmbed, PatchEmbed, RotaryEmbeddingCat, RotaryEmbeddingDinoV3
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from clip_surgery.backbones.patch_embedding import embed_pixels
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.backbones.rotary import CentredRotary, Rotary, RotaryPositions
from clip_surgery.backbones.timm.blocks import read_timm_block
from clip_surgery.backbones.timm.heads import TimmHead, read_timm_head
from clip_surgery.backbones.tower import Block, TokenMap, Tower
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.grid import PatchGrid


def read_timm(visual: Any, mode: PositionMode) -> Tower:
    """Return the Tower of a `TimmModel` of open_clip.

    Args:
        visual: the `TimmModel`: a model of timm, and a head that maps to the joint space.
        mode: interpolation of position embeddings.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    return read_trunk(visual.trunk, lambda trunk: read_timm_head(trunk, visual.head), mode)


def read_trunk(trunk: Any, read_head: Callable[[Any], TimmHead], mode: PositionMode) -> Tower:
    """Return the Tower of a model of timm.

    Args:
        trunk: a `VisionTransformer` or `Eva`.
        read_head: reads the head of the trunk, after its class was checked.
        mode: interpolation of position embeddings.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    if not isinstance(trunk, VisionTransformer | Eva):
        raise UnsupportedModelError(
            "Expected timm's VisionTransformer or Eva as the image tower, "
            f"but got timm's {type(trunk).__qualname__}."
        )
    to_patches, patch_size, weight = _read_stem(trunk.patch_embed)
    native = tuple(trunk.patch_embed.img_size)
    prefix_tokens = int(trunk.num_prefix_tokens)

    def embed(pixels: Tensor) -> Tensor:
        prefix = [token[0] for token in (trunk.cls_token, trunk.reg_token) if token is not None]
        positions = trunk.pos_embed
        tokens = embed_pixels(
            pixels,
            to_patches=to_patches,
            patch_size=patch_size,
            dtype=weight().dtype,
            prefix=torch.cat(prefix) if prefix else None,
            positions=None if positions is None else positions[0],
            native=native,
            mode=mode,
            patch_positions_only=bool(trunk.no_embed_class),
        )
        normed: Tensor = trunk.norm_pre(tokens)
        return normed

    blocks_at = _blocks_at(trunk, weight)
    native_grid = PatchGrid(rows=native[0] // patch_size, columns=native[1] // patch_size)
    head = read_head(trunk)
    return Tower(
        embed=embed,
        blocks=blocks_at(native_grid),
        project=head.project,
        pool=head.pool,
        pool_reads=head.pool_reads,
        latent_pool=head.latent_pool,
        prefix_tokens=prefix_tokens,
        patch_size=patch_size,
        width=int(trunk.embed_dim),
        blocks_at=None if _rope(trunk) is None else blocks_at,
    )


def _read_stem(patch_embed: Any) -> tuple[TokenMap, int, Callable[[], Tensor]]:
    """The patch embedding, the patch size, and a function that returns one of its weights."""
    if type(patch_embed) not in {PatchEmbed, HybridEmbed}:
        raise UnsupportedModelError(
            f"timm's patch embedding {type(patch_embed).__qualname__} is not supported."
        )
    sides = patch_embed.feat_ratio(as_scalar=False)
    if len(set(sides)) > 1:
        raise UnsupportedModelError(f"The image tower's patches {tuple(sides)} are not square.")
    if isinstance(patch_embed, PatchEmbed):
        if not isinstance(patch_embed.norm, nn.Identity):
            raise UnsupportedModelError("timm's norm inside the patch embedding is not supported.")
        return (
            patch_embed.proj,
            int(sides[0]),
            lambda: patch_embed.proj.weight,
        )

    def through_stem(pixels: Tensor) -> Tensor:
        if any(module.training and isinstance(module, _BatchNorm) for module in stem.modules()):
            raise InputError(
                "Expected the image tower in eval mode, because the batch norms of its stem would "
                "be changed: call model.eval()."
            )
        maps: Tensor = patch_embed.proj(stem(pixels))
        return maps

    stem = patch_embed.backbone
    return through_stem, int(sides[0]), lambda: next(stem.parameters())


def _blocks_at(
    trunk: Any, weight: Callable[[], Tensor]
) -> Callable[[PatchGrid], tuple[Block, ...]]:
    """A function of a grid that returns its blocks; without rotary positions they are the same."""
    rotary = _rope(trunk)

    def blocks(grid: PatchGrid) -> tuple[Block, ...]:
        rotate = None
        if rotary is not None:
            rotate = rotary.rotation(
                grid, prefix_tokens=int(trunk.num_prefix_tokens), device=weight().device
            )
        return tuple(read_timm_block(block, rotate) for block in trunk.blocks)

    return blocks


def _rope(trunk: Any) -> RotaryPositions | None:
    """The settings of the rotary positions, or None if there are none.

    Raises:
        UnsupportedModelError: if they are not axial with coordinates in patches.
    """
    rope = getattr(trunk, "rope", None)
    if rope is None:
        return None
    if type(rope) is RotaryEmbeddingDinoV3:
        return _centred_rope(rope)
    if type(rope) is not RotaryEmbeddingCat or rope.in_pixels:
        raise UnsupportedModelError(
            f"timm's rotary positions {type(rope).__qualname__} are not supported."
        )
    reference = rope.ref_feat_shape
    return Rotary(
        width=int(rope.dim),
        temperature=float(rope.temperature),
        offset=float(getattr(rope, "grid_offset", 0.0)),
        reference=None if reference is None else (int(reference[0]), int(reference[1])),
        columns_first=getattr(rope, "grid_indexing", "ij") == "xy",
        half_pairs=bool(getattr(rope, "rotate_half", False)),
    )


def _centred_rope(rope: Any) -> CentredRotary:
    """The settings of the rotary positions of DINOv3, without its augmentations in training."""
    if rope.min_period is not None or rope.temperature is None:
        raise UnsupportedModelError("timm's rotary positions with given periods are not supported.")
    return CentredRotary(
        width=int(rope.dim),
        temperature=float(rope.temperature),
        offset=float(rope.grid_offset),
        columns_first=rope.grid_indexing == "xy",
        half_pairs=bool(rope.rotate_half),
        scaled_by=rope.normalize_coords,
    )
