"""Prompts through a text tower, with the tokens that many prompts begin with computed once.

In a causal transformer a token sees earlier tokens only. Two things follow. Nothing after the end
token can matter, so a prompt is cut there. And the tokens with which the prompts of one template
begin ("a photo of a ...") have the same keys and values in all of them: they run once, and every
prompt runs only its own rest, whose token i sees the prefix and its own tokens up to i:

    O = softmax(scale q [k_prefix; k_own]^T) [v_prefix; v_own]

The rests stand behind one another in one row of tokens (see text_packing): norms, projections and
feed-forward run over the whole row, attention over its rectangles of equal prompts. In the last
block only the token that carries the text is needed: its query, out-projection and feed-forward run
on one token a prompt. Pascal Context's 59 names in 85 templates make prompts of
8.6 tokens on average instead of CLIP's 77, and 3.4 of them are left with shared prefixes.

A tower that is not causal takes the same walk with whole prompts and no prefix; one without parts
is called as it is.

Letters: L labels, M templates, T context length, E tower width, D joint width, h heads, S prompts
of a rectangle, n their own tokens, m those of them that ask, p prefix tokens, R tokens of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.backbones.block import finish_block, join_heads, split_heads
from clip_surgery.backbones.tower import Attention, TextTower, TokenMap
from clip_surgery.text.packing import (
    Prompt,
    Run,
    common_prefixes,
    end_indices,
    own_parts,
    pack,
    prefix_prompts,
    prefixes_of,
)

CHUNK_TOKENS = 8192
"""Tokens in memory at a time, those of prefixes counted: about 200 MB at width 512 in float32."""

KeysValues = tuple[Tensor, Tensor]
Memory = dict[int, list[KeysValues]]
"""By the length p of the prefix: keys and values (prefixes, p, E) of every block."""


def encode_prompts(
    tower: TextTower,
    token_ids: Tensor,
    *,
    share_prefixes: bool = True,
    chunk_tokens: int = CHUNK_TOKENS,
) -> Tensor:
    """Encode tokenised prompts (L, M, T) into the joint space (L, M, D), lengths as they come out.

    Equal, up to float rounding, to the model's own feature of each prompt alone. Gradients flow to
    the weights when the caller records them.

    Args:
        tower: the text tower.
        token_ids: on the tower's device. Prompts [:, m] come from one template; the tokens that all
            of them begin with are computed once.
        share_prefixes: False computes every prompt from its first token on.
        chunk_tokens: how many tokens may be in memory at a time; one prompt always may.

    Example:
        >>> def features_of_one_template(tower: TextTower, prompts: list[str]) -> Tensor:
        ...     return encode_prompts(tower, tower.tokenize(prompts)[:, None])[:, 0]
    """
    if tower.encode is not None:
        return _encode_whole(tower.encode, token_ids, chunk_tokens)
    device, shape = token_ids.device, token_ids.shape[:2]
    ends = tower.end_positions(token_ids.flatten(0, 1)).view(shape).cpu()
    ids = token_ids.cpu()
    sharing = tower.causal and share_prefixes
    prefixes = prefixes_of(ids, common_prefixes(ids, ends) if sharing else [0] * shape[1])
    memory = _remember(tower, prefix_prompts(prefixes), chunk_tokens, device)

    features: list[Tensor] = []
    places: list[int] = []
    for runs in pack(own_parts(ids, ends, prefixes, cut=tower.causal), chunk_tokens):
        features.append(_read(tower, runs, memory, device))
        places.extend(prompt.place for run in runs for prompt in run.prompts)
    as_asked = torch.tensor(places, device=device).argsort()
    return torch.cat(features)[as_asked].view(*shape, -1)


def _encode_whole(encode: TokenMap, token_ids: Tensor, chunk_tokens: int) -> Tensor:
    """Prompts (L, M, T) through a tower that its own library runs, whole, some at a time."""
    at_a_time = max(1, chunk_tokens // token_ids.shape[-1])
    parts = [encode(part) for part in torch.split(token_ids.flatten(0, 1), at_a_time)]
    return torch.cat(parts).view(*token_ids.shape[:2], -1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Rectangle:
    """A run on the device: token ids (S, n), and which prefix (S,) of length `start` each has."""

    ids: Tensor
    prefix: Tensor
    start: int


def _place(runs: list[Run], device: torch.device) -> list[_Rectangle]:
    return [
        _Rectangle(
            ids=torch.tensor([prompt.ids for prompt in run.prompts], device=device),
            prefix=torch.tensor([prompt.prefix for prompt in run.prompts], device=device),
            start=run.start,
        )
        for run in runs
    ]


def _read(tower: TextTower, runs: list[Run], memory: Memory, device: torch.device) -> Tensor:
    """Features (prompts, D) of a row, in its order."""
    row = _place(runs, device)
    tokens = _to_last_block(tower, row, memory)  # (1, R, E)
    ends = torch.tensor(end_indices(runs), device=device)
    block = tower.blocks[-1]
    normed = block.norm_attention(tokens)
    (query,) = block.attention.project_in(normed[:, ends], "q")  # (1, prompts, E)
    key, value = block.attention.project_in(normed, "kv")
    attended = _attend(block.attention, query, key, value, row, _block_of(memory, -1))
    return tower.project(finish_block(block, tokens[:, ends], attended))[0]


def _remember(
    tower: TextTower, prefixes: list[Prompt], chunk_tokens: int, device: torch.device
) -> Memory:
    """Run the prefixes, and keep their keys and values in every block."""
    parts: dict[int, list[list[KeysValues]]] = {}
    for runs in pack(prefixes, chunk_tokens):
        row = _place(runs, device)
        kept: list[KeysValues] = []
        tokens = _to_last_block(tower, row, {}, keep=kept)
        last = tower.blocks[-1]
        key, value = last.attention.project_in(last.norm_attention(tokens), "kv")
        kept.append((key, value))
        by_block = [zip(_split(key, row), _split(value, row), strict=True) for key, value in kept]
        for run, blocks in zip(runs, zip(*by_block, strict=True), strict=True):
            parts.setdefault(run.length, []).append(list(blocks))
    return {
        length: [
            (torch.cat([key for key, _ in block]), torch.cat([value for _, value in block]))
            for block in zip(*rows, strict=True)
        ]
        for length, rows in parts.items()
    }


def _to_last_block(
    tower: TextTower,
    row: list[_Rectangle],
    memory: Memory,
    keep: list[KeysValues] | None = None,
) -> Tensor:
    """The row (1, R, E) at the entry of the last block.

    `keep` collects the keys and values (1, R, E) of the blocks before it.
    """
    embedded = [tower.embed(part.ids, part.start).flatten(0, 1) for part in row]
    tokens = torch.cat(embedded)[None]
    for number, block in enumerate(tower.blocks[:-1]):
        query, key, value = block.attention.project_in(block.norm_attention(tokens))
        if keep is not None:
            keep.append((key, value))
        past = _block_of(memory, number)
        attended = _attend(block.attention, query, key, value, row, past, causal=tower.causal)
        tokens = finish_block(block, tokens, attended)
    return tokens


def _attend(
    attention: Attention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row: list[_Rectangle],
    past: dict[int, KeysValues],
    *,
    causal: bool = False,
) -> Tensor:
    """Attention of every prompt of a row over its prefix and itself.

    Queries are (1, R, E), or one a prompt (1, prompts, E), which then sees all of its prompt; keys
    and values are (1, R, E), and the answer has the shape of the queries.
    """
    queries = _split(query, row, one_each=query.shape[1] != key.shape[1])
    answers = []
    for part, q, own_k, own_v in zip(
        row, queries, _split(key, row), _split(value, row), strict=True
    ):
        k, v = own_k, own_v
        if part.start:
            past_k, past_v = past[part.start]
            k = torch.cat([past_k[part.prefix], own_k], dim=1)  # (S, p + n, E)
            v = torch.cat([past_v[part.prefix], own_v], dim=1)
        m = q.shape[1]
        sees = None
        if causal and m > 1:
            sees = torch.ones(m, part.start + m, dtype=torch.bool, device=q.device)
            sees = sees.tril(part.start)
        answer = F.scaled_dot_product_attention(
            split_heads(q, attention.heads),
            split_heads(k, attention.heads),
            split_heads(v, attention.heads),
            attn_mask=sees,
            scale=attention.scale,
        )
        answers.append(join_heads(answer).flatten(0, 1))  # (S m, E)
    return torch.cat(answers)[None]


def _split(row: Tensor, rectangles: list[_Rectangle], *, one_each: bool = False) -> list[Tensor]:
    """A row (1, R, E) as a view (S, n, E) of each rectangle; (S, 1, E) with `one_each` a prompt."""
    lengths = [1 if one_each else part.ids.shape[1] for part in rectangles]
    sizes = [len(part.ids) * n for part, n in zip(rectangles, lengths, strict=True)]
    parts = row[0].split_with_sizes(sizes)
    return [part.view(-1, n, row.shape[-1]) for part, n in zip(parts, lengths, strict=True)]


def _block_of(memory: Memory, number: int) -> dict[int, KeysValues]:
    return {length: blocks[number] for length, blocks in memory.items()}
