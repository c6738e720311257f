"""Loading ahead: the images of the next part are decoded while this one is explained."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
MOST_THREADS = 4


class Prefetcher(Generic[Item]):
    """A queue of parts whose items are read by threads; memory holds the parts that were added.

    `read` is called with an index, by several threads at once. What it raises comes out of `take`.

    Example:
        >>> with Prefetcher(lambda index: index * index) as ahead:
        ...     ahead.add(range(3))
        ...     ahead.add(range(3, 5))
        ...     print(ahead.take(), ahead.take())
        [0, 1, 4] [9, 16]
    """

    def __init__(self, read: Callable[[int], Item]) -> None:
        self._read = read
        self._parts: deque[list[Future[Item]]] = deque()
        threads = min(MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loading-ahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __len__(self) -> int:
        """How many parts were added and not yet taken."""
        return len(self._parts)

    def add(self, part: Sequence[int]) -> None:
        """Begin to read a part."""
        self._parts.append([self._pool.submit(self._read, index) for index in part])

    def take(self) -> list[Item]:
        """The items of the oldest part, once all are read."""
        return [item.result() for item in self._parts.popleft()]
