"""Resuming: which parts a journal holds, read back as what was measured."""

from __future__ import annotations

import warnings

from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.evaluator import Evaluator, Unreadable, read_sample
from clip_surgery.evaluation.execution.journal import Journal
from clip_surgery.evaluation.execution.partial_result import PartialResult


def parts_kept(measuring: Evaluator, kept: Journal) -> set[int]:
    """The parts that need not be measured again.

    A part is, where an image that could not be read now can: a disk may have been away.
    """
    done = set()
    for number in range(len(measuring.plan.parts())):
        found = part_kept(measuring, kept, number)
        if found is not None and all(
            isinstance(read_sample(measuring.plan.dataset, index), Unreadable)
            for index in found.failures
        ):
            done.add(number)
    return done


def part_kept(measuring: Evaluator, kept: Journal, number: int) -> PartialResult | None:
    """What the journal holds of a part, None for nothing; of a damaged file it warns."""
    content = kept.read(number)
    if content is None:
        return None
    found = measuring.plan.nothing(measuring.explainer)
    try:
        found.load_bytes(content)
    except InputError as error:
        warnings.warn(f"{kept.path(number)} is measured again: {error}", stacklevel=2)
        return None
    return found
