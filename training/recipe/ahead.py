"""Work of processes that is started before its results are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Generic, TypeVar

import torch

Result = TypeVar("Result")
AHEAD = 2
"""Results that are computed or wait to be used, for each process."""

_own: dict[str, Any] = {}
"""In a process of a pool: the function that it calls and what that function needs every time."""


class Ahead(Generic[Result]):
    """The results of compute(fixed, start, *settings) for start, start + step, and so on.

    fixed is sent to each process once. With 0 workers, a result is computed when it is taken. If
    settings change, what was started with others is dropped, so that a result depends only on what
    is asked for.
    """

    def __init__(
        self, compute: Callable[..., Result], fixed: Any, *, step: int, workers: int
    ) -> None:
        self.compute, self.fixed, self.step = compute, fixed, step
        self._pool: ProcessPoolExecutor | None = None
        if workers:  # spawned, not forked, because this process may use a GPU
            self._pool = ProcessPoolExecutor(
                workers, get_context("spawn"), initializer=_keep, initargs=(compute, fixed)
            )
        self._most = AHEAD * workers
        self._waiting: deque[tuple[tuple[Any, ...], Future[Result]]] = deque()
        self._begun = False

    def take(self, start: int, *settings: Any) -> Result:
        """The result for this start; those that follow with the same settings are started."""
        if self._pool is None:
            return self.compute(self.fixed, start, *settings)
        if not self._begun:  # the processes take seconds to start: the first is computed here
            self._begun = True
            self._submit(start + self.step, *settings)
            return self.compute(self.fixed, start, *settings)
        if self._waiting and self._waiting[0][0] != (start, *settings):
            for _, future in self._waiting:
                future.cancel()
            self._waiting.clear()
        while len(self._waiting) < self._most:
            following = self._waiting[-1][0][0] + self.step if self._waiting else start
            self._submit(following, *settings)
        return self._waiting.popleft()[1].result()

    def _submit(self, *wanted: Any) -> None:
        if self._pool is not None:
            self._waiting.append((wanted, self._pool.submit(_computed, *wanted)))


def _keep(compute: Callable[..., Any], fixed: Any) -> None:
    torch.set_num_threads(1)  # there are as many processes as cores
    _own.update(compute=compute, fixed=fixed)


def _computed(*wanted: Any) -> Any:
    return _own["compute"](_own["fixed"], *wanted)
