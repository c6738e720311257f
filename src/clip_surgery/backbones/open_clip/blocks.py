"""One residual block of open_clip, image or text side, as a Block.

Two attentions exist: torch's MultiheadAttention and open_clip's own, with norms of q and k per
head, head scales and an inner norm. Whatever acts after the mixing of values (head scales, inner
norm, output norm, layer scale) is part of `project_out`.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from clip_surgery.backbones.projections import by_head, changed_by_head, fused_projection
from clip_surgery.backbones.tower import Attention, Block, ProjectIn, TokenMap
from clip_surgery.errors import UnsupportedModelError


def read_block(block: Any) -> Block:
    """Read one residual block of open_clip, image or text side; layer scale goes inside its parts.

    Raises:
        UnsupportedModelError: for an attention that is neither torch's nor open_clip's own.
    """
    if isinstance(block.attn, nn.MultiheadAttention):
        heads, project_in, mix = _read_torch_attention(block.attn)
    elif _is_custom_attention(block.attn):
        heads, project_in, mix = _read_custom_attention(block.attn)
    else:
        raise UnsupportedModelError(f"The attention {type(block.attn).__qualname__} is not read.")
    norm_output: TokenMap = getattr(block, "ln_attn", nn.Identity())

    def project_out(tokens: Tensor) -> Tensor:
        scaled: Tensor = block.ls_1(norm_output(mix(tokens)))
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
    if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
        raise UnsupportedModelError(
            "The attention has keys and values of another width, or extra ones; not read."
        )

    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return fused_projection(tokens, attention.in_proj_weight, attention.in_proj_bias, parts)

    return attention.num_heads, project_in, attention.out_proj


def _read_custom_attention(attention: Any) -> tuple[int, ProjectIn, TokenMap]:
    """open_clip's own Attention: norms of q and k per head, head scales, an inner norm."""
    if attention.logit_scale is not None:
        raise UnsupportedModelError("The scaled cosine attention is not read.")
    heads = int(attention.num_heads)

    def project_in(tokens: Tensor, parts: str = "qkv") -> tuple[Tensor, ...]:
        return fused_projection(tokens, attention.in_proj_weight, attention.in_proj_bias, parts)

    def mix(tokens: Tensor) -> Tensor:
        if attention.head_scale is not None:
            tokens = (by_head(tokens, heads) * attention.head_scale[:, 0]).flatten(-2)
        mixed: Tensor = attention.out_proj(attention.ln_inner(tokens))
        return mixed

    norms: dict[str, TokenMap] = {"q": attention.ln_q, "k": attention.ln_k}
    return heads, changed_by_head(project_in, norms, heads), mix
