"""Prefetching: the images of the next part are decoded by threads while one part is explained."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
MAX_THREADS = 4


class Prefetcher(Generic[Item]):
    """A queue of parts whose items are read in the background.

    Memory contains the items of all parts that were added and not yet taken.

    Args:
        read: returns the item of an index. It is called by several threads at once. An exception
            that it raises is raised by `take`.

    Example:
        >>> with Prefetcher(lambda index: index * index) as prefetcher:
        ...     prefetcher.add(range(3))
        ...     prefetcher.add(range(3, 5))
        ...     print(prefetcher.take(), prefetcher.take())
        [0, 1, 4] [9, 16]
    """

    def __init__(self, read: Callable[[int], Item]) -> None:
        self._read = read
        self._parts: deque[list[Future[Item]]] = deque()
        threads = min(MAX_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="prefetch")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def __len__(self) -> int:
        """Return the number of parts that were added and not yet taken."""
        return len(self._parts)

    def add(self, part: Sequence[int]) -> None:
        """Start to read the items of a part, given by their indices."""
        self._parts.append([self._pool.submit(self._read, index) for index in part])

    def take(self) -> list[Item]:
        """Wait for the items of the oldest part, and return them in order."""
        return [item.result() for item in self._parts.popleft()]
