"""One residual block of timm's transformers as a Block.

Three attentions exist, alike but for where matrices and biases lie. Norms of queries and keys act
head by head; an inner norm, layer scale and EVA-02-E's norm behind the attention are part of
`project_out`. Dropped paths are not applied: they act in training only.
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
    changed_by_head,
    fused_projection,
    separate_projections,
)
from clip_surgery.backbones.tower import Attention, Block, ProjectIn, TokenMap
from clip_surgery.errors import UnsupportedModelError

_NOTHING = nn.Identity()


def read_timm_block(block: Any, turn: TokenMap | None = None) -> Block:
    """Read one block; `turn` gives queries and keys (B, N, h, d) their rotary positions.

    Raises:
        UnsupportedModelError: for another kind of block, naming it.
    """
    if type(block) not in {PlainBlock, EvaBlock, EvaBlockPostNorm}:
        raise UnsupportedModelError(f"timm's block {type(block).__qualname__} is not read.")
    attention = block.attn
    _check_attention(attention)
    behind = isinstance(block, EvaBlockPostNorm)
    norm_attention, norm_feed_forward = (
        (_NOTHING, _NOTHING) if behind else (block.norm1, block.norm2)
    )
    scale_attended = _scale(block, "ls1", "gamma_1")
    scale_fed = _scale(block, "ls2", "gamma_2")

    def project_out(tokens: Tensor) -> Tensor:
        attended = attention.proj(getattr(attention, "norm", _NOTHING)(tokens))
        return scale_attended(block.norm1(attended) if behind else attended)

    def feed_forward(tokens: Tensor) -> Tensor:
        fed = block.mlp(tokens)
        return scale_fed(block.norm2(fed) if behind else fed)

    return Block(
        norm_attention=norm_attention,
        attention=Attention(
            heads=int(attention.num_heads),
            scale=float(attention.scale),
            project_in=_projection(attention, turn),
            project_out=project_out,
        ),
        norm_feed_forward=norm_feed_forward,
        feed_forward=feed_forward,
    )


def _projection(attention: Any, turn: TokenMap | None) -> ProjectIn:
    """Matrices, then norms of queries and keys, then rotary positions."""
    if attention.qkv is None:
        project_in = separate_projections(attention.q_proj, attention.k_proj, attention.v_proj)
    else:
        project_in = _fused(attention)
    changes: dict[str, TokenMap] = {}
    for part, norm in (("q", attention.q_norm), ("k", attention.k_norm)):
        if turn is not None:
            changes[part] = _then(norm, turn)
        elif not isinstance(norm, nn.Identity):
            changes[part] = norm
    if not changes:
        return project_in
    return changed_by_head(project_in, changes, int(attention.num_heads))


def _then(first: TokenMap, second: TokenMap) -> TokenMap:
    return lambda tokens: second(first(tokens))


def _fused(attention: Any) -> ProjectIn:
    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        bias = attention.qkv.bias
        if isinstance(attention, EvaAttention) and attention.q_bias is not None:
            bias = torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
        return fused_projection(tokens, attention.qkv.weight, bias, parts)

    return project_in


def _scale(block: Any, module: str, vector: str) -> TokenMap:
    """Layer scale, a module in timm's ViT and a vector in its EVA; the identity without one."""
    if isinstance(block, PlainBlock):
        scale: TokenMap = getattr(block, module)
        return scale
    if getattr(block, vector, None) is None:
        return _NOTHING
    return lambda tokens: getattr(block, vector) * tokens


def _check_attention(attention: Any) -> None:
    """Refuse what the walk could not reproduce.

    Raises:
        UnsupportedModelError: naming the part.
    """
    if not isinstance(attention, PlainAttention | EvaAttention | AttentionRope):
        raise UnsupportedModelError(f"timm's attention {type(attention).__qualname__} is not read.")
    if getattr(attention, "gate", None) is not None:
        raise UnsupportedModelError("timm's gated attention is not read.")
    if getattr(attention, "num_kv_groups", 1) > 1:
        raise UnsupportedModelError("timm's attention with shared keys and values is not read.")
