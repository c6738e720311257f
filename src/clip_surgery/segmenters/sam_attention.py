"""The last global attention of the image encoder of SAM, with its relative positions.

Source: Segment Anything (arXiv 2304.02643), whose encoder is ViTDet (arXiv 2203.16527). Most blocks
attend within windows, some to the whole square. The weights of a query q at row i and column j are

    softmax over (y, x) of s q k^T + q . R_h[i - y] + q . R_w[j - x]

The square around the image is padded, so some keys are outside of the image; their weights are left
out of what is returned.

Letters: h heads, d head width, N cells of the square, P cells of the image, n queries.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.segmenters.image_attention import ImageAttention


def sam_attention(encoder: nn.Module, pixels: Tensor, grid: PatchGrid) -> ImageAttention:
    """Return the attention of the last block that attends to the whole square.

    Blocks after it are not run.

    Args:
        encoder: the vision encoder of a SamModel of transformers.
        pixels: the square with the image in its upper left corner, normalised (1, 3, S, S).
        grid: rows and columns of the cells that the image covers.

    Raises:
        UnsupportedModelError: if every block attends within windows.
    """
    model: Any = encoder
    last = max(
        (number for number, layer in enumerate(model.layers) if not layer.window_size), default=None
    )
    if last is None:
        raise UnsupportedModelError(
            "All blocks of this SAM model attend within windows, but one that attends to the whole "
            "image is needed."
        )
    tokens = model.patch_embed(pixels)  # (1, rows, columns, E)
    if model.pos_embed is not None:
        tokens = tokens + model.pos_embed
    for layer in model.layers[:last]:
        output = layer(tokens)
        tokens = output[0] if isinstance(output, tuple) else output
    layer = model.layers[last]
    rows, columns = tokens.shape[1:3]
    heads = layer.attn.num_attention_heads
    projected = layer.attn.qkv(layer.layer_norm1(tokens)).view(rows * columns, 3, heads, -1)
    precise = projected.to(torch.promote_types(projected.dtype, torch.float32))
    query, key, value = precise.permute(1, 2, 0, 3)  # each (h, N, d)
    biases = _position_biases(layer.attn, query, rows, columns)
    square = torch.arange(rows * columns, device=tokens.device).view(rows, columns)
    inside = square[: grid.rows, : grid.columns].flatten()  # (P,)

    def weights(queries: slice) -> Tensor:
        chosen = inside[queries]
        logits = layer.attn.scale * (query[:, chosen] @ key.mT)  # (h, n, N)
        for bias in biases:
            logits = logits + bias[:, chosen].expand(-1, -1, rows, columns).flatten(2)
        attention: Tensor = logits.softmax(dim=-1)[:, :, inside]
        return attention

    return ImageAttention(grid=grid, values=value[:, inside], weights=weights)


def _position_biases(attention: Any, query: Tensor, rows: int, columns: int) -> tuple[Tensor, ...]:
    """Biases (h, N, rows, 1) and (h, N, 1, columns) for queries (h, N, d); none if not used."""
    if not attention.use_rel_pos:
        return ()
    maps = query.view(len(query), rows, columns, -1)  # (h, rows, columns, d)
    vertical = _differences(attention.rel_pos_h, rows).to(query)  # (rows, rows, d)
    horizontal = _differences(attention.rel_pos_w, columns).to(query)
    of_rows = torch.einsum("hijd,iyd->hijy", maps, vertical).flatten(1, 2)
    of_columns = torch.einsum("hijd,jxd->hijx", maps, horizontal).flatten(1, 2)
    return of_rows[:, :, :, None], of_columns[:, :, None]


def _differences(table: Tensor, length: int) -> Tensor:
    """Embedding (length, length, d) of the difference of each pair, from a table (2 length - 1, d).

    Row 0 of the table is the difference 1 - length.
    """
    places = torch.arange(length, device=table.device)
    return table[places[:, None] - places + length - 1]
