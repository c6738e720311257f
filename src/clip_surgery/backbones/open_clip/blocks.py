"""Read one residual block of open_clip, of an image or text tower, as a `Block`.

Attention is either MultiheadAttention of torch, or the class Attention of open_clip, which may have
norms of queries and keys per head, head scales and an inner norm. Everything after the weighted sum
of values (head scales, inner norm, output norm, layer scale) is part of `project_out`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from clip_surgery.backbones.projections import fused_projection, split_by_head, transform_heads
from clip_surgery.backbones.tower import Attention, Block, ProjectIn, TokenMap
from clip_surgery.errors import UnsupportedModelError


def read_block(block: Any) -> Block:
    """Return a residual block of open_clip as a `Block`.

    Args:
        block: a `ResidualAttentionBlock` or `CustomResidualAttentionBlock`.

    Raises:
        UnsupportedModelError: if its attention is of neither class, or has an unsupported part.
    """
    if isinstance(block.attn, nn.MultiheadAttention):
        heads, project_in, project_values = _read_torch_attention(block.attn)
    elif _is_custom_attention(block.attn):
        heads, project_in, project_values = _read_custom_attention(block.attn)
    else:
        raise UnsupportedModelError(
            f"The attention {type(block.attn).__qualname__} is not supported."
        )
    norm_output: TokenMap = getattr(block, "ln_attn", nn.Identity())

    def project_out(tokens: Tensor) -> Tensor:
        scaled: Tensor = block.ls_1(norm_output(project_values(tokens)))
        return scaled

    def feed_forward(tokens: Tensor) -> Tensor:
        scaled: Tensor = block.ls_2(block.mlp(tokens))
        return scaled

    width = int(block.attn.out_proj.weight.shape[1])
    return Block(
        norm_attention=block.ln_1,
        attention=Attention(
            heads=heads,
            scale=(width // heads) ** -0.5,
            project_in=project_in,
            project_out=project_out,
        ),
        norm_feed_forward=block.ln_2,
        feed_forward=feed_forward,
    )


def _is_custom_attention(attention: nn.Module) -> bool:
    from open_clip.transformer import Attention  # slow to import; the demo model never needs it

    return isinstance(attention, Attention)


def _read_torch_attention(attention: nn.MultiheadAttention) -> tuple[int, ProjectIn, TokenMap]:
    """The number of heads, the projection to q, k and v, and the out-projection."""
    if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
        raise UnsupportedModelError(
            "Attention with keys and values of another width, or with extra ones, is not supported."
        )

    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return fused_projection(tokens, attention.in_proj_weight, attention.in_proj_bias, parts)

    return attention.num_heads, project_in, attention.out_proj


def _read_custom_attention(attention: Any) -> tuple[int, ProjectIn, TokenMap]:
    """Read Attention of open_clip: norms of q and k per head, head scales, an inner norm."""
    if attention.logit_scale is not None:
        raise UnsupportedModelError("The scaled cosine attention is not supported.")
    heads = int(attention.num_heads)

    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return fused_projection(tokens, attention.in_proj_weight, attention.in_proj_bias, parts)

    def project_values(tokens: Tensor) -> Tensor:
        if attention.head_scale is not None:
            tokens = (split_by_head(tokens, heads) * attention.head_scale[:, 0]).flatten(-2)
        projected: Tensor = attention.out_proj(attention.ln_inner(tokens))
        return projected

    norms: dict[str, TokenMap] = {"q": attention.ln_q, "k": attention.ln_k}
    return heads, transform_heads(project_in, norms, heads), project_values
