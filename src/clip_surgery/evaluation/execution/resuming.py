"""Reading the parts of a journal back, to continue an evaluation."""

from __future__ import annotations

import warnings

from clip_surgery.evaluation.execution.evaluator import Evaluator, UnreadableSample, read_sample
from clip_surgery.evaluation.execution.journal import DamagedPartError, Journal
from clip_surgery.evaluation.execution.partial_result import PartialResult


def finished_parts(evaluator: Evaluator, journal: Journal) -> set[int]:
    """Return the numbers of the parts that need not be evaluated again.

    A part is evaluated again if one of its images could not be read then and can be read now, for
    example because a disk was not available.

    Raises:
        InputError: if a file of the journal exists and cannot be read.
    """
    dataset = evaluator.plan.dataset
    finished = set()
    for number in range(len(evaluator.plan.parts())):
        result = stored_result(evaluator, journal, number)
        if result is not None and all(
            isinstance(read_sample(dataset, index), UnreadableSample) for index in result.failures
        ):
            finished.add(number)
    return finished


def stored_result(evaluator: Evaluator, journal: Journal, number: int) -> PartialResult | None:
    """Return the result of a part from the journal, or None if there is none.

    A damaged file counts as missing, with a warning.

    Raises:
        InputError: if the file exists and cannot be read.
    """
    result = evaluator.plan.empty_result(evaluator.explainer)
    try:
        content = journal.read(number)
        if content is None:
            return None
        result.load_bytes(content, name=str(journal.path(number)))
    except DamagedPartError as error:
        warnings.warn(f"{error} This part is evaluated again.", stacklevel=2)
        return None
    return result
