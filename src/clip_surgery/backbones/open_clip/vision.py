"""Read the vision transformer of open_clip as a `Tower`.

The image feature is pooled by class token, by mean, or by the learnt queries of CoCa.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from torch import Tensor

from clip_surgery.backbones.latent_pool import pool_each_token, pool_tokens, torch_projection
from clip_surgery.backbones.open_clip.blocks import read_block
from clip_surgery.backbones.patch_embedding import embed_pixels
from clip_surgery.backbones.positions import PositionMode
from clip_surgery.backbones.tower import LatentPool, TokenMap, Tower
from clip_surgery.errors import UnsupportedModelError


def read_vision_transformer(visual: Any, mode: PositionMode) -> Tower:
    """Return the Tower of a `VisionTransformer` of open_clip.

    Args:
        visual: the `VisionTransformer`.
        mode: interpolation of position embeddings.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    _check(visual)

    def embed(pixels: Tensor) -> Tensor:
        tokens = embed_pixels(
            pixels,
            to_patches=visual.conv1,
            patch_size=int(visual.conv1.kernel_size[0]),
            dtype=visual.conv1.weight.dtype,
            prefix=visual.class_embedding[None],
            positions=visual.positional_embedding,
            native=tuple(visual.image_size),
            mode=mode,
        )
        normed: Tensor = visual.ln_pre(tokens)
        return normed

    head = _read_head(visual)
    return Tower(
        embed=embed,
        blocks=tuple(read_block(block) for block in visual.transformer.resblocks),
        project=head.project,
        pool=head.pool,
        pool_reads=head.pool_reads,
        latent_pool=head.latent_pool,
        prefix_tokens=1,
        patch_size=int(visual.conv1.kernel_size[0]),
        width=int(visual.class_embedding.shape[0]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Head:
    """Maps from the tokens of the last block to the joint space, as in `Tower`."""

    project: TokenMap
    pool: TokenMap
    pool_reads: Literal["prefix", "all"]
    latent_pool: LatentPool | None = None


def _read_head(visual: Any) -> _Head:
    if visual.attn_pool is not None:
        return _read_attentional_head(visual)

    def to_joint(tokens: Tensor) -> Tensor:
        return tokens if visual.proj is None else tokens @ visual.proj

    def project(tokens: Tensor) -> Tensor:
        return to_joint(visual.ln_post(tokens))

    def pool_class(tokens: Tensor) -> Tensor:
        return project(tokens[:, 0])

    def pool_average(tokens: Tensor) -> Tensor:
        if visual.final_ln_after_pool:
            return project(tokens[:, 1:].mean(dim=1))
        return to_joint(visual.ln_post(tokens[:, 1:]).mean(dim=1))

    if visual.pool_type == "avg":
        return _Head(project=project, pool=pool_average, pool_reads="all")
    return _Head(project=project, pool=pool_class, pool_reads="prefix")


def _read_attentional_head(visual: Any) -> _Head:
    """CoCa: several learnt queries; the first one (or the mean of the others) is the image."""
    attention = visual.attn_pool.attn
    key, value = torch_projection(attention, "k"), torch_projection(attention, "v")
    query = torch_projection(attention, "q")
    average = visual.pool_type == "avg"

    def queries() -> Tensor:
        normed: Tensor = visual.attn_pool.ln_q(visual.attn_pool.query)
        return query(normed[1:] if average else normed[:1])

    def to_joint(output: Tensor) -> Tensor:
        normed: Tensor = visual.ln_post(output)
        return normed if visual.proj is None else normed @ visual.proj

    latent = LatentPool(
        heads=int(attention.num_heads),
        queries=queries,
        norm=visual.attn_pool.ln_k,
        key=key,
        value=value,
        project_out=attention.out_proj,
        feed_forward=None,
        to_joint=to_joint,
    )
    return _Head(
        project=partial(pool_each_token, latent),
        pool=partial(pool_tokens, latent),
        pool_reads="all",
        latent_pool=latent,
    )


def _check(visual: Any) -> None:
    """Check that the tower can be run exactly as the model does.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    if getattr(visual, "attn_pool_contrastive", None) is not None:
        raise UnsupportedModelError(
            "The image tower's second attentional pooler (attn_pool_contrastive), "
            "which open_clip has no weights for, is not supported."
        )
    if visual.pool_type not in {"tok", "avg"}:
        raise UnsupportedModelError(
            f"The image tower's pool_type {visual.pool_type!r} is not supported."
        )
    if len(set(visual.conv1.kernel_size)) > 1:
        raise UnsupportedModelError(
            f"The image tower's patches {tuple(visual.conv1.kernel_size)} are not square."
        )
