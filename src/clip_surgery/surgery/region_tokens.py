"""One class token for each region of an image, which attends to the patches of its region only.

Source: the semantic branch of CorrCLIP (arXiv 2411.10086). The tokens of regions start as the class
token, and in every block they attend to the original class token and to the patches of their
region. The other tokens do not attend to them.

Letters: N tokens, P patches, E tower width, R regions, h heads, d head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from clip_surgery.backbones.block import finish_block, join_heads, split_heads
from clip_surgery.backbones.tower import Tower


def region_tokens(tower: Tower, inputs: Sequence[Tensor], regions: Tensor) -> Tensor:
    """Return the token of each region after the last block (R, E).

    Args:
        tower: a tower with a class token, the first token, for the grid of the image.
        inputs: the input tokens (N, E) of every block.
        regions: the patches of each region (R, P) bool, not empty.
    """
    prefix = tower.prefix_tokens
    allowed = torch.zeros(len(regions), prefix + regions.shape[1], dtype=torch.bool)
    allowed[:, 0] = True  # the class token
    allowed[:, prefix:] = regions.cpu()
    allowed = allowed[:, None, None].to(inputs[0].device)  # (R, 1, 1, N)
    tokens = inputs[0][:1].expand(len(regions), 1, -1)  # (R, 1, E)
    for block, keys in zip(tower.blocks, inputs, strict=True):
        attention = block.attention
        project_in, norm = attention.project_in, block.norm_attention
        parts = (*project_in(norm(tokens), "q"), *project_in(norm(keys[None]), "kv"))
        query, key, value = (split_heads(part, attention.heads) for part in parts)
        attended = scaled_dot_product_attention(
            query,
            key.expand(len(regions), -1, -1, -1),
            value.expand(len(regions), -1, -1, -1),
            attn_mask=allowed,
            scale=attention.scale,
        )
        tokens = finish_block(block, tokens, join_heads(attended))
    return tokens[:, 0]
