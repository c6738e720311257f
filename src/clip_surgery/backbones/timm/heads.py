"""From timm's last tokens to the joint space: norm, pool, norm, projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from timm.layers import AttentionPoolLatent
from torch import Tensor, nn

from clip_surgery.backbones.latent_pool import LatentPool
from clip_surgery.backbones.projections import by_head
from clip_surgery.backbones.tower import TokenMap
from clip_surgery.errors import UnsupportedModelError


@dataclass(frozen=True, kw_only=True, eq=False)
class TimmHead:
    """The way from the last block's tokens to the joint space, as Tower has it."""

    project: TokenMap
    pool: TokenMap
    pool_reads: Literal["prefix", "all"]


def read_timm_head(trunk: Any, head: nn.Sequential) -> TimmHead:
    """Read the pooling of a trunk and what open_clip's TimmModel adds to it.

    Raises:
        UnsupportedModelError: naming the pooling that cannot be read.
    """
    if getattr(trunk, "pool_include_prefix", False):
        raise UnsupportedModelError("timm's pooling over prefix tokens too is not read.")
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
        raise UnsupportedModelError(f"timm's pooling {trunk.global_pool!r} is not read.")

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
    """SigLIP's and PE's head: one learnt query, an out-projection, a feed-forward."""
    latent = read_latent_pool(trunk.attn_pool)
    # timm's ViT pools its patches alone, its Eva all tokens
    skipped = int(trunk.num_prefix_tokens) if hasattr(trunk, "pool_include_prefix") else 0

    def project(tokens: Tensor) -> Tensor:
        return to_joint(latent.each(trunk.norm(tokens)))

    def pool(tokens: Tensor) -> Tensor:
        return to_joint(latent.pool(trunk.norm(tokens)[:, skipped:])[:, 0])

    return TimmHead(project=project, pool=pool, pool_reads="all")


def read_latent_pool(pool: Any) -> LatentPool:
    """Read timm's AttentionPoolLatent.

    Raises:
        UnsupportedModelError: for another pool, or positions and several queries in it.
    """
    if not isinstance(pool, AttentionPoolLatent):
        raise UnsupportedModelError(f"timm's pool {type(pool).__qualname__} is not read.")
    if pool.pos_embed is not None or pool.latent_len != 1:
        raise UnsupportedModelError("timm's pool with positions or several queries is not read.")
    heads = int(pool.num_heads)

    def normed(values: Tensor, norm: nn.Module) -> Tensor:
        if isinstance(norm, nn.Identity):
            return values
        changed: Tensor = norm(by_head(values, heads))
        return changed.flatten(-2)

    def part(tokens: Tensor, number: int) -> Tensor:
        bias = pool.kv.bias
        return nn.functional.linear(
            tokens, pool.kv.weight.chunk(2)[number], None if bias is None else bias.chunk(2)[number]
        )

    def finish(received: Tensor) -> Tensor:
        mixed: Tensor = pool.proj(received)
        return mixed if pool.mlp is None else mixed + pool.mlp(pool.norm(mixed))

    return LatentPool(
        heads=heads,
        queries=lambda: normed(pool.q(pool.latent[0]), pool.q_norm),
        key=lambda tokens: normed(part(tokens, 0), pool.k_norm),
        value=lambda tokens: part(tokens, 1),
        finish=finish,
    )
