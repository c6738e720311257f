"""The evidence of single items of a batch, and the scores of an explanation that are made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from clip_surgery.batch_splitting import results_or_errors
from clip_surgery.deferred_tensor import combined
from clip_surgery.methods.method import Evidence

Item = TypeVar("Item")

EvidenceRow = tuple[Evidence, int]
"""The evidence of a batch, and the index of one item in this batch."""


def evidence_rows(
    explain: Callable[[Sequence[Item]], Evidence], items: Sequence[Item]
) -> list[EvidenceRow]:
    """Return the evidence of each item of a batch, which is divided if memory does not suffice.

    Args:
        explain: returns the evidence for images or windows of one size, in their order.
        items: what `explain` is called with, or with a part of it.

    Raises:
        RuntimeError: the error of torch if a single item does not fit into the memory.
    """

    def rows_of(part: Sequence[Item]) -> list[EvidenceRow]:
        evidence = explain(part)
        return [(evidence, row) for row in range(len(part))]

    rows = []
    for result in results_or_errors(rows_of, items):
        if isinstance(result, Exception):
            raise result
        rows.append(result)
    return rows


def joined_scores(rows: Sequence[EvidenceRow], *, texts: int) -> dict[str, Any]:
    """Return the fields of an explanation that hold scores, for images of any sizes.

    Log ratios that are deferred stay deferred.

    Args:
        rows: the evidence of each image.
        texts: number of texts.
    """
    similarity = [
        (evidence.similarity_grid or evidence.grid).to_map(evidence.similarity[row])
        for evidence, row in rows
        if evidence.similarity is not None
    ]
    image_scores = [evidence.image[row] for evidence, row in rows]
    return {
        "patch_scores": tuple(
            evidence.grid.to_map(evidence.patches[row]) for evidence, row in rows
        ),
        "similarity": tuple(similarity) if similarity else None,
        "image_scores": torch.stack(image_scores) if rows else torch.zeros(0, texts),
        "reference_log_ratios": combined(
            [evidence.log_ratios_of_image(row) for evidence, row in rows], torch.stack
        ),
    }
