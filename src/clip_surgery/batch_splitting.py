"""Computation for batches that is repeated for halves of a batch if it fails.

A batch fails if it is too large for the memory, or if one of its items is bad. In both cases the
two halves are tried on their own, and so on down to single items. So what fits is computed in the
largest parts that fit, and a bad item costs its neighbours at most a logarithmic number of calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import torch

from clip_surgery.errors import InputError, UnsupportedModelError

Item = TypeVar("Item")
Result = TypeVar("Result")

_MESSAGES = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
"""Parts of the messages with which torch reports missing memory in a plain `RuntimeError`."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of the machine or its GPU does not suffice.

    Example:
        >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
        True
    """
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(message in text for message in _MESSAGES)


def out_of_memory_error(name: str) -> InputError:
    """Return the error for an image that is too large for the memory even on its own.

    Example:
        >>> str(out_of_memory_error("cow.png"))
        'cow.png: out of memory; try a smaller --size or another --device.'
    """
    return InputError(f"{name}: out of memory; try a smaller --size or another --device.")


def results_or_errors(
    compute: Callable[[Sequence[Item]], Iterable[Result]],
    items: Sequence[Item],
    *,
    errors: tuple[type[Exception], ...] = (),
) -> Iterator[Result | Exception]:
    """Yield the result of each item in order, or the error of an item that fails on its own.

    Args:
        compute: returns one result for each item of a batch.
        items: the items of one batch.
        errors: kinds of errors that one bad item can cause, for which the batch is split as it is
            for missing memory. All other errors are raised.

    Raises:
        UnsupportedModelError: if `compute` raises it, because it would for every item.

    Example:
        >>> def inverses(numbers):
        ...     return [1 / number for number in numbers]
        >>> list(results_or_errors(inverses, [2, 0, 4], errors=(ZeroDivisionError,)))
        [0.5, ZeroDivisionError('division by zero'), 0.25]
    """
    if not items:
        return
    try:
        results = list(compute(items))
    except UnsupportedModelError:
        raise
    except Exception as error:
        if not isinstance(error, errors) and not is_out_of_memory(error):
            raise
        failure = error
    else:
        if len(results) != len(items):
            raise ValueError(f"Expected {len(items)} results, but got {len(results)}.")
        yield from results
        return
    if len(items) == 1:
        yield failure
        return
    del failure  # its traceback holds the tensors of the call, whose memory the next call needs
    middle = len(items) // 2
    yield from results_or_errors(compute, items[:middle], errors=errors)
    yield from results_or_errors(compute, items[middle:], errors=errors)
