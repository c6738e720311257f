"""Read one residual block of a transformer of timm as a `Block`.

timm has three classes of attention, which differ in where matrices and biases are stored. Norms of
queries and keys act on each head. An inner norm, layer scale and the norm after attention in
EVA-02-E are part of `project_out`. Stochastic depth is not applied, because it acts in training
only.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import AttentionRope
from timm.models.eva import EvaAttention, EvaBlock, EvaBlockPostNorm
from timm.models.vision_transformer import Attention as PlainAttention
from timm.models.vision_transformer import Block as PlainBlock
from torch import Tensor, nn

from clip_surgery.backbones.projections import (
    fused_projection,
    separate_projections,
    transform_heads,
)
from clip_surgery.backbones.tower import Attention, Block, ProjectIn, TokenMap
from clip_surgery.errors import UnsupportedModelError

_IDENTITY = nn.Identity()


def read_timm_block(block: Any, rotate: TokenMap | None = None) -> Block:
    """Return a block of timm as a `Block`.

    Args:
        block: a block of a VisionTransformer or Eva.
        rotate: adds rotary positions to queries and keys (B, N, h, d), or None.

    Raises:
        UnsupportedModelError: if the block or its attention is of another class or has an
            unsupported part; the message names it.
    """
    if type(block) not in {PlainBlock, EvaBlock, EvaBlockPostNorm}:
        raise UnsupportedModelError(f"timm's block {type(block).__qualname__} is not supported.")
    attention = block.attn
    _check_attention(attention)
    post_norm = isinstance(block, EvaBlockPostNorm)
    norm_attention, norm_feed_forward = (
        (_IDENTITY, _IDENTITY) if post_norm else (block.norm1, block.norm2)
    )
    scale_attended = _scale(block, "ls1", "gamma_1")
    scale_output = _scale(block, "ls2", "gamma_2")

    def project_out(tokens: Tensor) -> Tensor:
        attended = attention.proj(getattr(attention, "norm", _IDENTITY)(tokens))
        return scale_attended(block.norm1(attended) if post_norm else attended)

    def feed_forward(tokens: Tensor) -> Tensor:
        output = block.mlp(tokens)
        return scale_output(block.norm2(output) if post_norm else output)

    return Block(
        norm_attention=norm_attention,
        attention=Attention(
            heads=int(attention.num_heads),
            scale=float(attention.scale),
            project_in=_projection(attention, rotate),
            project_out=project_out,
        ),
        norm_feed_forward=norm_feed_forward,
        feed_forward=feed_forward,
    )


def _projection(attention: Any, rotate: TokenMap | None) -> ProjectIn:
    """The projection to q, k and v, with norms of queries and keys, then rotary positions."""
    if attention.qkv is None:
        project_in = separate_projections(attention.q_proj, attention.k_proj, attention.v_proj)
    else:
        project_in = _fused(attention)
    transforms: dict[str, TokenMap] = {}
    for part, norm in (("q", attention.q_norm), ("k", attention.k_norm)):
        if rotate is not None:
            transforms[part] = _compose(norm, rotate)
        elif not isinstance(norm, nn.Identity):
            transforms[part] = norm
    if not transforms:
        return project_in
    return transform_heads(project_in, transforms, int(attention.num_heads))


def _compose(first: TokenMap, second: TokenMap) -> TokenMap:
    return lambda tokens: second(first(tokens))


def _fused(attention: Any) -> ProjectIn:
    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        bias = attention.qkv.bias
        if isinstance(attention, EvaAttention) and attention.q_bias is not None:
            bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        return fused_projection(tokens, attention.qkv.weight, bias, parts)

    return project_in


def _scale(block: Any, module: str, vector: str) -> TokenMap:
    """Layer scale: a module in the ViT of timm, a vector in its Eva; the identity if absent."""
    if isinstance(block, PlainBlock):
        scale: TokenMap = getattr(block, module)
        return scale
    if getattr(block, vector, None) is None:
        return _IDENTITY
    return lambda tokens: getattr(block, vector) * tokens


def _check_attention(attention: Any) -> None:
    """Check that an attention can be run exactly as timm does.

    Raises:
        UnsupportedModelError: if a part is not supported; the message names the part.
    """
    if not isinstance(attention, PlainAttention | EvaAttention | AttentionRope):
        raise UnsupportedModelError(
            f"timm's attention {type(attention).__qualname__} is not supported."
        )
    if getattr(attention, "gate", None) is not None:
        raise UnsupportedModelError("timm's gated attention is not supported.")
    if getattr(attention, "num_kv_groups", 1) > 1:
        raise UnsupportedModelError(
            "timm's attention with shared keys and values is not supported."
        )
