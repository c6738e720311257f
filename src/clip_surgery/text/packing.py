"""The order in which the tokens of many prompts are computed, as lists of token ids.

Prompts of one template share a prefix of tokens. The remaining tokens of each prompt are
concatenated in rows of limited size. Prompts with the same numbers of prefix tokens and of
remaining tokens are neighbours in a row, so that attention runs on rectangular tensors without
padding.

Letters: L texts, M templates, T context length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt without the prefix that it shares with other prompts.

    Attributes:
        ids: the token ids after the prefix.
        start: position of the first of them, which is the length of the prefix.
        prefix: index of the prefix among the prefixes of this length.
        end: index in `ids` of the token at which the model reads the text.
        index: index of the prompt in the order of the caller.
    """

    ids: Ids
    start: int
    prefix: int
    end: int
    index: int


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring prompts with the same numbers of prefix tokens and of remaining tokens.

    Attributes:
        prompts: the prompts.
        start: number of tokens of each prefix.
        length: number of remaining tokens of each prompt.
    """

    prompts: tuple[Prompt, ...]
    start: int
    length: int


def common_prefixes(ids: Tensor, ends: Tensor) -> list[int]:
    """Return the number of first tokens that all prompts of a template share, M numbers.

    Args:
        ids: token ids of the prompts (L, M, T).
        ends: indices (L, M) of the tokens at which the model reads the texts. They are never part
            of a shared prefix, because each prompt needs its own output there.

    Example:
        >>> from torch import tensor
        >>> ids = tensor([[[9, 1, 2, 5, 8]], [[9, 1, 3, 8, 0]]])     # two texts, one template
        >>> common_prefixes(ids, tensor([[4], [3]]))
        [2]
    """
    same = (ids == ids[:1]).all(dim=0).long()  # (M, T)
    shared: list[int] = same.cumprod(dim=-1).sum(dim=-1).minimum(ends.amin(dim=0)).tolist()
    return shared


def prefixes_of(ids: Tensor, lengths: Sequence[int]) -> list[Ids]:
    """Return the prefix of each template: the first `lengths` tokens of its prompts (L, M, T)."""
    return [tuple(line[:length]) for line, length in zip(ids[0].tolist(), lengths, strict=True)]


def index_by_prefix(prefixes: Sequence[Ids]) -> dict[Ids, int]:
    """Return the index of each distinct prefix among the prefixes of the same length.

    Example:
        >>> index_by_prefix([(9, 1), (9,), (9, 2), (9, 1)])
        {(9, 1): 0, (9,): 0, (9, 2): 1}
    """
    indices: dict[Ids, int] = {}
    count_by_length: dict[int, int] = {}
    for prefix in prefixes:
        if prefix not in indices:
            indices[prefix] = count_by_length.get(len(prefix), 0)
            count_by_length[len(prefix)] = indices[prefix] + 1
    return indices


def without_prefixes(
    ids: Tensor, ends: Tensor, prefixes: Sequence[Ids], *, cut: bool
) -> list[Prompt]:
    """Return the prompts without the prefixes of their templates.

    Args:
        ids: token ids of the prompts (L, M, T).
        ends: indices (L, M) of the tokens at which the model reads the texts.
        prefixes: the prefix of each template, M of them.
        cut: whether the tokens after `ends` are left out too.
    """
    prefix_indices = index_by_prefix(prefixes)
    prompts: list[Prompt] = []
    for text_ids, text_ends in zip(ids.tolist(), ends.tolist(), strict=True):
        for prompt_ids, end, prefix in zip(text_ids, text_ends, prefixes, strict=True):
            start = len(prefix)
            prompts.append(
                Prompt(
                    ids=tuple(prompt_ids[start : end + 1] if cut else prompt_ids[start:]),
                    start=start,
                    prefix=prefix_indices[prefix],
                    end=end - start,
                    index=len(prompts),
                )
            )
    return prompts


def prefix_prompts(prefixes: Sequence[Ids]) -> list[Prompt]:
    """Return the distinct prefixes as prompts that have no prefix themselves."""
    return [
        Prompt(ids=prefix, start=0, prefix=0, end=len(prefix) - 1, index=index)
        for prefix, index in index_by_prefix(prefixes).items()
        if prefix
    ]


def pack(prompts: Sequence[Prompt], chunk_tokens: int) -> Iterator[list[Run]]:
    """Yield rows of runs, each of at most `chunk_tokens` tokens or of one longer prompt.

    The tokens of the prefixes are counted, because their keys and values are in memory too.
    """
    row: list[Prompt] = []
    row_tokens = 0
    for prompt in sorted(prompts, key=lambda p: (p.start, len(p.ids), p.prefix, p.index)):
        size = prompt.start + len(prompt.ids)
        if row and row_tokens + size > chunk_tokens:
            yield _runs(row)
            row, row_tokens = [], 0
        row.append(prompt)
        row_tokens += size
    if row:
        yield _runs(row)


def end_indices(runs: Sequence[Run]) -> list[int]:
    """Return the positions in a row of runs at which the model reads the text of each prompt."""
    indices: list[int] = []
    begin = 0
    for run in runs:
        for prompt in run.prompts:
            indices.append(begin + prompt.end)
            begin += run.length
    return indices


def _runs(row: list[Prompt]) -> list[Run]:
    """Return a sorted row of prompts, grouped by the numbers of their tokens."""
    return [
        Run(prompts=tuple(prompts), start=start, length=length)
        for (start, length), prompts in groupby(row, key=lambda p: (p.start, len(p.ids)))
    ]
