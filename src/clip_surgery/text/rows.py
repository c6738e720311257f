"""Attention within rows of prompts, which are concatenated without padding.

Letters: E tower width, S prompts of a rectangle, n remaining tokens of each, m queries of each (n
or 1), p prefix tokens, R tokens of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.block import join_heads, split_heads
from clip_surgery.backbones.tower import Attention
from clip_surgery.text.packing import Run

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True, eq=False)
class Rectangle:
    """The tensors of a run of S prompts.

    Attributes:
        ids: token ids (S, n) after the prefix.
        prefix: indices (S,) of their prefixes among those of length `start`.
        start: number of tokens of each prefix.
    """

    ids: Tensor
    prefix: Tensor
    start: int


def to_rectangles(runs: list[Run], device: torch.device) -> list[Rectangle]:
    """Return the tensors of the runs of a row, on a device."""
    return [
        Rectangle(
            ids=torch.tensor([prompt.ids for prompt in run.prompts], device=device),
            prefix=torch.tensor([prompt.prefix for prompt in run.prompts], device=device),
            start=run.start,
        )
        for run in runs
    ]


def attend_row(
    attention: Attention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row: list[Rectangle],
    past: dict[int, KeysValues],
    *,
    causal: bool = False,
) -> Tensor:
    """Return the attention output of each prompt of a row, over its prefix and its own tokens.

    Args:
        attention: the attention of the block.
        query: (1, R, E), or (1, prompts, E) with one query per prompt, which attends to all tokens
            of the prompt.
        key: (1, R, E).
        value: (1, R, E).
        row: the prompts of the row.
        past: for each length of prefixes, their keys and values in this block.
        causal: whether a token attends only to itself and earlier tokens.

    Returns:
        Attended values of the shape of the queries.
    """
    queries = split_row(query, row, one_per_prompt=query.shape[1] != key.shape[1])
    outputs = []
    for prompts, q, own_k, own_v in zip(
        row, queries, split_row(key, row), split_row(value, row), strict=True
    ):
        k, v = own_k, own_v
        if prompts.start:
            prefix_k, prefix_v = past[prompts.start]
            k = torch.cat([prefix_k[prompts.prefix], own_k], dim=1)  # (S, p + n, E)
            v = torch.cat([prefix_v[prompts.prefix], own_v], dim=1)
        m = q.shape[1]
        mask = None
        if causal and m > 1:
            mask = torch.ones(m, prompts.start + m, dtype=torch.bool, device=q.device)
            mask = mask.tril(prompts.start)
        output = F.scaled_dot_product_attention(
            split_heads(q, attention.heads),
            split_heads(k, attention.heads),
            split_heads(v, attention.heads),
            attn_mask=mask,
            scale=attention.scale,
        )
        outputs.append(join_heads(output).flatten(0, 1))  # (S m, E)
    return torch.cat(outputs)[None]


def split_row(
    tokens: Tensor, row: list[Rectangle], *, one_per_prompt: bool = False
) -> list[Tensor]:
    """Return views of a row of tokens (1, R, E), one (S, n, E) per rectangle.

    With `one_per_prompt`, `tokens` has one token per prompt and the views are (S, 1, E).
    """
    lengths = [1 if one_per_prompt else prompts.ids.shape[1] for prompts in row]
    sizes = [len(prompts.ids) * n for prompts, n in zip(row, lengths, strict=True)]
    views = tokens[0].split_with_sizes(sizes)
    return [view.view(-1, n, tokens.shape[-1]) for view, n in zip(views, lengths, strict=True)]
