"""Read the towers of SigLIP and SigLIP 2 of transformers.

The image tower has no class token and is pooled by a learnt query; the text tower is not causal.
SigLIP 2 in transformers packs images of several shapes with padding (NaFlex). A single image needs
no packing: the same result is computed from its patches in order, with positions that are resized
as in NaFlex (bilinear, antialiased), and without a mask.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from clip_surgery.backbones.hugging_face.clip import read_block_text, read_layer
from clip_surgery.backbones.latent_pool import pool_each_token, pool_tokens, torch_projection
from clip_surgery.backbones.patch_embedding import embed_pixels
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.backbones.tower import LatentPool, TextTower, TokenMap, Tower
from clip_surgery.errors import UnsupportedModelError


def read_siglip_tower(model: Any, mode: PositionMode) -> Tower:
    """Return the image tower of a `SiglipModel` or `Siglip2Model`.

    Args:
        model: the model.
        mode: interpolation of position embeddings.

    Raises:
        UnsupportedModelError: if it has no pooling head.
    """
    vision = model.vision_model
    embeddings = vision.embeddings
    if not getattr(vision, "use_head", True):
        raise UnsupportedModelError("The image tower has no pooling head (vision_use_head=False).")
    patch_size, native = int(embeddings.patch_size), native_size(model)
    packed = not hasattr(embeddings, "image_size")

    def to_patches(pixels: Tensor) -> Tensor:
        layer = embeddings.patch_embedding
        if not packed:
            maps: Tensor = layer(pixels)
            return maps
        # The model multiplies flattened patches (row, column, channel) with a matrix, which is the
        # same as this convolution.
        weight = layer.weight.view(-1, patch_size, patch_size, 3).permute(0, 3, 1, 2)
        return conv2d(pixels, weight, layer.bias, stride=patch_size)

    def embed(pixels: Tensor) -> Tensor:
        return embed_pixels(
            pixels,
            to_patches=to_patches,
            patch_size=patch_size,
            dtype=embeddings.patch_embedding.weight.dtype,
            prefix=None,
            positions=embeddings.position_embedding.weight,
            native=(native, native),
            mode=mode,
            antialias=True if packed else None,
        )

    latent = _read_head(vision.head, norm=vision.post_layernorm)
    return Tower(
        embed=embed,
        blocks=tuple(read_layer(layer) for layer in vision.encoder.layers),
        project=partial(pool_each_token, latent),
        pool=partial(pool_tokens, latent),
        pool_reads="all",
        latent_pool=latent,
        prefix_tokens=0,
        patch_size=patch_size,
        width=int(embeddings.position_embedding.embedding_dim),
    )


def native_size(model: Any) -> int:
    """Return the native side in pixels; the positions of NaFlex are those of a square."""
    embeddings = model.vision_model.embeddings
    if hasattr(embeddings, "image_size"):
        return int(embeddings.image_size)
    return int(embeddings.position_embedding_size * embeddings.patch_size)


def _read_head(head: Any, *, norm: TokenMap) -> LatentPool:
    """The pooling head: attention of one learnt query, then a feed-forward network."""
    attention = head.attention
    query = torch_projection(attention, "q")

    def feed_forward(output: Tensor) -> Tensor:
        added: Tensor = head.mlp(head.layernorm(output))
        return added

    return LatentPool(
        heads=int(attention.num_heads),
        queries=lambda: query(head.probe[0]),
        key=torch_projection(attention, "k"),
        value=torch_projection(attention, "v"),
        project_out=attention.out_proj,
        feed_forward=feed_forward,
        norm=norm,
        to_joint=nn.Identity(),
    )


def read_siglip_text(model: Any, tokenizer: Any) -> TextTower:
    """Return the text tower of a `SiglipModel` or `Siglip2Model`, with the tokenizer of the model.

    All tokens attend to all tokens, including padding, and the last one is pooled.
    """
    text = model.text_model
    return read_block_text(
        text,
        tokenizer,
        head=text.head,
        end_positions=lambda ids: torch.full_like(ids[:, 0], ids.shape[1] - 1),
        causal=False,
    )
