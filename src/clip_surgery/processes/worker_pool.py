"""A pool of worker processes, each of which loads its model once and survives no crash of another.

The pool knows which item each process works on. When a process dies, its items are given to
another process. `docs/decisions/0012-worker-pool.md` compares this module with the pools of
Python's standard library, PyTorch, loky and joblib.

Each process has a pipe of its own, and no lock or queue is shared between processes. A process
that is killed at any moment therefore cannot block or damage the others. Processes are spawned and
not forked, because threads and GPU contexts do not survive a fork.
"""

from __future__ import annotations

import pickle
import signal
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, TypeVar

from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.processes.interrupts import interrupts_blocked_in_new_processes
from clip_surgery.processes.worker_process import Failed, Finished, Loaded, Worker, serve

Item = TypeVar("Item")
Result = TypeVar("Result")
_MAX_DEATHS_WITHOUT_RESULT = 3
_SECONDS_TO_END = 5.0


class WorkerError(ClipSurgeryError, RuntimeError):
    """Worker processes died repeatedly, or could not start."""


class WorkerPool(Generic[Item, Result]):
    """Processes that work through a list of items.

    Args:
        loaders: one callable for each process, which returns its loaded `Worker`. Loaders may
            differ, for example in the GPU they use. They must be picklable.
        items_per_worker: how many items a process may hold at a time. With 2, it can prefetch the
            next item while it works on the current one.
        max_deaths_per_item: how many processes may die while they work on the same item, before
            the run is ended. If None, there is no limit.
        describe: returns the name of an item in messages.

    Raises:
        InputError: if a loader cannot be pickled.
    """

    def __init__(
        self,
        loaders: Sequence[Callable[[], Worker]],
        *,
        items_per_worker: int = 1,
        max_deaths_per_item: int | None = None,
        describe: Callable[[Item], str] = str,
    ) -> None:
        self._loaders = [_pickled(loader) for loader in loaders]
        self._items_per_worker = items_per_worker
        self._max_deaths_per_item = max_deaths_per_item
        self._describe = describe
        self._processes: list[_Process[Item]] = []
        self._waiting: deque[Item] | None = None  # None until the first worker is loaded
        self._identity: object = None
        self._deaths_per_item: Counter[Item] = Counter()
        self._deaths_without_result = 0

    def run(self, choose_items: Callable[[Any], Iterable[Item]]) -> Generator[Result]:
        """Start the processes, and yield the result of each item in the order of completion.

        All processes are ended when the generator is exhausted, closed or interrupted.

        Args:
            choose_items: called once, with the identity of the first loaded worker; returns the
                items, which must be hashable. Each is sent to one process at a time.

        Raises:
            WorkerError: if processes cannot start, die repeatedly, or load different models.
            Exception: an exception that was raised in a worker process, with its traceback as a
                note.
        """
        try:
            for number in range(len(self._loaders)):
                self._start(number)
            while self._processes and self._is_unfinished():
                yield from self._receive(choose_items)
                self._hand_out()
        finally:
            self._stop()

    def _is_unfinished(self) -> bool:
        return (
            self._waiting is None
            or bool(self._waiting)
            or any(process.items for process in self._processes)
        )

    def _start(self, number: int) -> None:
        context = get_context("spawn")
        connection, connection_of_worker = context.Pipe()
        process = context.Process(
            target=serve,
            args=(connection_of_worker, self._loaders[number]),
            name=f"clip-surgery-worker-{number}",
            daemon=True,
        )
        with interrupts_blocked_in_new_processes():
            process.start()
            self._processes.append(_Process(number=number, process=process, connection=connection))
        connection_of_worker.close()  # otherwise the pipe would stay open when the worker dies

    def _hand_out(self) -> None:
        """Send an item to each free worker, then further ones while there are enough for all."""
        loaded = [process for process in self._processes if process.is_loaded]
        for count in range(1, self._items_per_worker + 1):
            for process in loaded:
                enough = count == 1 or len(self._waiting or ()) >= len(self._processes)
                if self._waiting and enough and len(process.items) < count:
                    process.items.append(self._waiting.popleft())
                    with suppress(OSError):  # the worker has just died; `_receive` will notice
                        process.connection.send(process.items[-1])

    def _receive(self, choose_items: Callable[[Any], Iterable[Item]]) -> Iterator[Result]:
        """Wait until at least one worker has sent a message or died."""
        readable = wait([process.connection for process in self._processes])
        for process in list(self._processes):
            if process.connection not in readable:
                continue
            try:
                message = process.connection.recv()
            except (EOFError, OSError):
                self._replace(process)
                continue
            match message:
                case Failed(error):
                    raise error
                case Loaded(identity):
                    process.is_loaded = True
                    self._check_identity(identity, choose_items)
                case Finished(result):
                    process.items.popleft()
                    self._deaths_without_result = 0
                    yield result

    def _check_identity(
        self, identity: object, choose_items: Callable[[Any], Iterable[Item]]
    ) -> None:
        if self._waiting is None:
            self._identity = identity
            self._waiting = deque(choose_items(identity))
        elif identity != self._identity:
            raise WorkerError("The worker processes have loaded different models or settings.")

    def _replace(self, process: _Process[Item]) -> None:
        """Take back the items of a dead worker, and start another one if there is work left."""
        process.process.join()
        exit_code = process.process.exitcode
        self._processes.remove(process)
        process.close()
        if process.items:
            self._count_death(process.items[0], exit_code)
            if self._waiting is not None:
                self._waiting.extendleft(reversed(process.items))
        else:
            self._count_death_without_item(process, exit_code)
        if self._waiting is None or self._waiting:
            self._start(process.number)

    def _count_death(self, item: Item, exit_code: int | None) -> None:
        self._deaths_per_item[item] += 1
        deaths = self._deaths_per_item[item]
        if self._max_deaths_per_item is not None and deaths >= self._max_deaths_per_item:
            raise WorkerError(
                f"{self._describe(item)} ended {deaths} worker processes, the last one with "
                f"{_ending(exit_code)}. Finished work is kept. If memory ran out, use fewer "
                "workers."
            )

    def _count_death_without_item(self, process: _Process[Item], exit_code: int | None) -> None:
        if not process.is_loaded and exit_code is not None and exit_code >= 0:
            raise WorkerError(
                f"A worker process could not start ({_ending(exit_code)}; its own messages are "
                'printed above). A script that uses workers needs `if __name__ == "__main__":`.'
            )
        self._deaths_without_result += 1
        if self._deaths_without_result >= _MAX_DEATHS_WITHOUT_RESULT:
            raise WorkerError(
                f"{self._deaths_without_result} worker processes died before they finished any "
                f"work, the last one with {_ending(exit_code)}. If memory ran out, use fewer "
                f"workers than {len(self._loaders)}."
            )

    def _stop(self) -> None:
        """End all processes. What they were working on is lost."""
        for process in self._processes:
            process.connection.close()
            process.process.terminate()
        for process in self._processes:
            process.process.join(_SECONDS_TO_END)
            if process.process.is_alive():
                process.process.kill()
                process.process.join()
            process.close()
        self._processes.clear()


@dataclass(kw_only=True, eq=False)
class _Process(Generic[Item]):
    """A worker process as the pool sees it.

    Attributes:
        number: the index of its loader.
        process: the process.
        connection: the pool's end of the pipe.
        items: the items that were sent and have no result yet; it works on the first one.
        is_loaded: whether its model is loaded.
    """

    number: int
    process: SpawnProcess
    connection: Connection
    items: deque[Item] = field(default_factory=deque)
    is_loaded: bool = False

    def close(self) -> None:
        """Release what the system keeps of an ended process."""
        self.connection.close()
        self.process.close()


def _pickled(loader: Callable[[], Worker]) -> bytes:
    try:
        return pickle.dumps(loader)
    except Exception as error:  # classes of callers raise any exception when they are pickled
        raise InputError(
            "Expected data, settings and a function to load the model that can be sent to a "
            f"process (pickled), but {error}."
        ) from error


def _ending(exit_code: int | None) -> str:
    """How a process ended, for messages."""
    if exit_code is not None and exit_code < 0:
        with suppress(ValueError):
            return f"exit code {exit_code}, killed by {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
