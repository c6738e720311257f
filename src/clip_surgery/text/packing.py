"""Which tokens of many prompts have to run, and in what order: whole numbers only.

Prompts that begin alike share a prefix; the rest of each is laid behind the others in rows of a
bounded size. Prompts with equally many prefix and own tokens are neighbours, so that attention sees
rectangles and nothing is padded.

Letters: L labels, M templates, T context length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from torch import Tensor

Ids = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens that a prompt does not share.

    Attributes:
        ids: its own token ids.
        start: where they begin, which is the length of its prefix.
        prefix: which of the prefixes of that length is its own.
        end: index in `ids` of the token that carries the text.
        place: where its feature belongs in the order of the caller.
    """

    ids: Ids
    start: int
    prefix: int
    end: int
    place: int


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbours with equally many prefix tokens (`start`) and own tokens (`length`)."""

    prompts: tuple[Prompt, ...]
    start: int
    length: int


def common_prefixes(ids: Tensor, ends: Tensor) -> list[int]:
    """How many tokens all prompts (L, M, T) of each template begin with: M numbers.

    The tokens that carry the texts, at `ends` (L, M), are never part of it: each prompt needs a row
    of its own to be read from.

    Example:
        >>> from torch import tensor
        >>> ids = tensor([[[9, 1, 2, 5, 8]], [[9, 1, 3, 8, 0]]])     # two labels, one template
        >>> common_prefixes(ids, tensor([[4], [3]]))
        [2]
    """
    same = (ids == ids[:1]).all(dim=0).long()  # (M, T)
    alike: list[int] = same.cumprod(dim=-1).sum(dim=-1).minimum(ends.amin(dim=0)).tolist()
    return alike


def prefixes_of(ids: Tensor, lengths: Sequence[int]) -> list[Ids]:
    """The prefix of each template, `lengths` tokens of its prompts (L, M, T)."""
    return [tuple(line[:length]) for line, length in zip(ids[0].tolist(), lengths, strict=True)]


def number_by_length(prefixes: Sequence[Ids]) -> dict[Ids, int]:
    """Each distinct prefix with its number among those of its length.

    Example:
        >>> number_by_length([(9, 1), (9,), (9, 2), (9, 1)])
        {(9, 1): 0, (9,): 0, (9, 2): 1}
    """
    numbers: dict[Ids, int] = {}
    found: dict[int, int] = {}
    for prefix in prefixes:
        if prefix not in numbers:
            numbers[prefix] = found.get(len(prefix), 0)
            found[len(prefix)] = numbers[prefix] + 1
    return numbers


def own_parts(ids: Tensor, ends: Tensor, prefixes: Sequence[Ids], *, cut: bool) -> list[Prompt]:
    """Prompts (L, M, T) without their template's prefix and, where `cut`, without their padding."""
    numbers = number_by_length(prefixes)
    prompts: list[Prompt] = []
    for lines, line_ends in zip(ids.tolist(), ends.tolist(), strict=True):
        for line, end, prefix in zip(lines, line_ends, prefixes, strict=True):
            start = len(prefix)
            prompts.append(
                Prompt(
                    ids=tuple(line[start : end + 1] if cut else line[start:]),
                    start=start,
                    prefix=numbers[prefix],
                    end=end - start,
                    place=len(prompts),
                )
            )
    return prompts


def prefix_prompts(prefixes: Sequence[Ids]) -> list[Prompt]:
    """The distinct prefixes as prompts without a prefix; their place is their number."""
    return [
        Prompt(ids=prefix, start=0, prefix=0, end=len(prefix) - 1, place=number)
        for prefix, number in number_by_length(prefixes).items()
        if prefix
    ]


def pack(prompts: Sequence[Prompt], chunk_tokens: int) -> Iterator[list[Run]]:
    """Rows of runs, each of at most `chunk_tokens` tokens, or of one prompt that is longer.

    The tokens of the prefix count, because their keys and values are in memory too.
    """
    row: list[Prompt] = []
    filled = 0
    for prompt in sorted(prompts, key=lambda p: (p.start, len(p.ids), p.prefix, p.place)):
        size = prompt.start + len(prompt.ids)
        if row and filled + size > chunk_tokens:
            yield _runs(row)
            row, filled = [], 0
        row.append(prompt)
        filled += size
    if row:
        yield _runs(row)


def end_indices(runs: Sequence[Run]) -> list[int]:
    """Where in a row of runs the token stands that carries each prompt's text."""
    indices: list[int] = []
    begin = 0
    for run in runs:
        for prompt in run.prompts:
            indices.append(begin + prompt.end)
            begin += run.length
    return indices


def _runs(row: list[Prompt]) -> list[Run]:
    return [
        Run(prompts=tuple(prompts), start=start, length=length)
        for (start, length), prompts in groupby(row, key=lambda p: (p.start, len(p.ids)))
    ]
