"""Read the head of a timm tower, which maps the last tokens to the joint space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from timm.layers import AttentionPoolLatent
from torch import Tensor, nn

from clip_surgery.backbones.latent_pool import pool_each_token, pool_tokens
from clip_surgery.backbones.projections import split_by_head
from clip_surgery.backbones.tower import LatentPool, TokenMap
from clip_surgery.errors import UnsupportedModelError


@dataclass(frozen=True, kw_only=True, eq=False)
class TimmHead:
    """Maps from the tokens of the last block to the joint space, as in `Tower`."""

    project: TokenMap
    pool: TokenMap
    pool_reads: Literal["prefix", "all"]
    latent_pool: LatentPool | None = None


def read_timm_head(trunk: Any, head: nn.Sequential) -> TimmHead:
    """Return the head of a tower: the pooling of timm and the layers that open_clip adds.

    Args:
        trunk: the model of timm.
        head: the layers after it in a `TimmModel` of open_clip.

    Raises:
        UnsupportedModelError: if the pooling is not supported.
    """
    if getattr(trunk, "pool_include_prefix", False):
        raise UnsupportedModelError("timm's pooling that includes prefix tokens is not supported.")
    prefix = int(trunk.num_prefix_tokens)

    def to_joint(pooled: Tensor) -> Tensor:
        features: Tensor = trunk.head(trunk.fc_norm(pooled))
        for layer in head:
            if not isinstance(layer, nn.Dropout):
                features = layer(features)
        return features

    if trunk.attn_pool is not None:
        return _read_latent_head(trunk, to_joint)
    if trunk.global_pool not in {"token", "avg"}:
        raise UnsupportedModelError(f"timm's pooling {trunk.global_pool!r} is not supported.")

    def project(tokens: Tensor) -> Tensor:
        return to_joint(trunk.norm(tokens))

    def pool_class(tokens: Tensor) -> Tensor:
        return project(tokens[:, 0])

    def pool_average(tokens: Tensor) -> Tensor:
        return to_joint(trunk.norm(tokens)[:, prefix:].mean(dim=1))

    if trunk.global_pool == "avg":
        return TimmHead(project=project, pool=pool_average, pool_reads="all")
    return TimmHead(project=project, pool=pool_class, pool_reads="prefix")


def _read_latent_head(trunk: Any, to_joint: TokenMap) -> TimmHead:
    """The head of SigLIP and PE: one learnt query, an out-projection, a feed-forward network."""
    # The ViT of timm pools patches only, its Eva all tokens.
    first_pooled = int(trunk.num_prefix_tokens) if hasattr(trunk, "pool_include_prefix") else 0
    latent = read_latent_pool(
        trunk.attn_pool, norm=trunk.norm, to_joint=to_joint, first_token=first_pooled
    )
    return TimmHead(
        project=partial(pool_each_token, latent),
        pool=partial(pool_tokens, latent),
        pool_reads="all",
        latent_pool=latent,
    )


def read_latent_pool(
    pool: Any, *, norm: TokenMap, to_joint: TokenMap, first_token: int = 0
) -> LatentPool:
    """Return an AttentionPoolLatent of timm as a `LatentPool`.

    Args:
        pool: the pool.
        norm: the norm before it.
        to_joint: the layers after it.
        first_token: number of first tokens that are not pooled.

    Raises:
        UnsupportedModelError: if it is of another class, or has positions or several queries.
    """
    if not isinstance(pool, AttentionPoolLatent):
        raise UnsupportedModelError(f"timm's pool {type(pool).__qualname__} is not supported.")
    if pool.pos_embed is not None or pool.latent_len != 1:
        raise UnsupportedModelError(
            "timm's pool with positions or several queries is not supported."
        )
    heads = int(pool.num_heads)

    def normed(values: Tensor, norm: nn.Module) -> Tensor:
        if isinstance(norm, nn.Identity):
            return values
        normalised: Tensor = norm(split_by_head(values, heads))
        return normalised.flatten(-2)

    def project(tokens: Tensor, half: int) -> Tensor:  # half 0 is the key, 1 the value
        bias = pool.kv.bias
        return nn.functional.linear(
            tokens, pool.kv.weight.chunk(2)[half], None if bias is None else bias.chunk(2)[half]
        )

    def feed_forward(output: Tensor) -> Tensor:
        added: Tensor = pool.mlp(pool.norm(output))
        return added

    return LatentPool(
        heads=heads,
        queries=lambda: normed(pool.q(pool.latent[0]), pool.q_norm),
        key=lambda tokens: normed(project(tokens, 0), pool.k_norm),
        value=lambda tokens: project(tokens, 1),
        project_out=pool.proj,
        feed_forward=None if pool.mlp is None else feed_forward,
        norm=norm,
        to_joint=to_joint,
        first_token=first_token,
    )
