"""Run one transformer block, whole or in parts: the formulas that image and text towers share.

A pre-norm block with h heads of width d computes, for tokens x (B, N, E) with E = h d,

    q, k, v = project_in(norm(x))
    x <- x + project_out(softmax(scale q k^T) v)
    x <- x + feed_forward(norm(x))

Letters: B batch, N tokens, n tokens whose output is wanted (n <= N), E tower width, h heads,
d head width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from clip_surgery.backbones.tower import Block


def run_block(block: Block, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
    """Run one block exactly as the model does.

    Args:
        block: the block.
        tokens: (B, N, E).
        mask: (N, N), added to the attention logits; causal text towers need one.

    Returns:
        The block's output tokens (B, N, E).
    """
    query, key, value = project_tokens(block, tokens)
    attended = scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=block.attention.scale
    )
    return finish_block(block, tokens, join_heads(attended))


def project_tokens(block: Block, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return query, key and value (B, h, N, d) of a block for its input tokens (B, N, E)."""
    query, key, value = (
        split_heads(part, block.attention.heads)
        for part in block.attention.project_in(block.norm_attention(tokens), "qkv")
    )
    return query, key, value


def finish_block(block: Block, tokens: Tensor, attended: Tensor) -> Tensor:
    """Run what follows attention in a block: out-projection, residual, feed-forward.

    Args:
        block: the block.
        tokens: the block's input tokens (B, n, E).
        attended: the attended values of these tokens, heads joined (B, n, E).

    Returns:
        The block's output tokens (B, n, E).
    """
    tokens = block.add_attended(tokens, block.attention.project_out(attended))
    return block.add_feed_forward(tokens)


def split_heads(tokens: Tensor, heads: int) -> Tensor:
    """Return tokens (B, N, E) as heads (B, h, N, d)."""
    return tokens.reshape(*tokens.shape[:-1], heads, -1).transpose(1, 2)


def join_heads(heads: Tensor) -> Tensor:
    """Return heads (B, h, N, d) as tokens (B, N, E)."""
    return heads.transpose(1, 2).flatten(2)
