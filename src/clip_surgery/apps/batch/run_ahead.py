"""A step of a pipeline in a thread of its own, which is a bounded number of items ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END = object()


def run_ahead(items: Iterator[Item], *, name: str, ahead: int = 1) -> Generator[Item]:
    """Yield the items of an iterator that a thread computes while earlier items are used.

    When the generator is closed, the thread finishes the item that it is computing and ends; the
    iterator is then closed if it is a generator. An exception of the iterator, of any kind, is
    raised when its item is requested.

    Args:
        items: computes the items; only the thread uses it.
        name: name of the thread.
        ahead: maximum number of items that are finished or in progress while one is used.

    Example:
        >>> list(run_ahead(iter([1, 2, 3]), name="numbers"))
        [1, 2, 3]
    """
    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        waiting: deque[Future[Any]] = deque(
            thread.submit(next, items, _END) for _ in range(max(1, ahead))
        )
        try:
            while (item := waiting.popleft().result()) is not _END:
                waiting.append(thread.submit(next, items, _END))
                yield item
        finally:
            for future in waiting:
                future.cancel()
            thread.submit(getattr(items, "close", lambda: None)).result()
