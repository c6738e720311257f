"""What runs in a worker process: it loads its model, then works on items until the pool ends it.

Process and pool talk over one pipe. The pool sends items. The process sends one `Loaded`, a
`Finished` for each item, and `Failed` if an exception ends it.
"""

from __future__ import annotations

import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

ItemReader = Callable[[bool], Any]
"""Returns the next item for a worker.

Called with True, it waits for an item. Called with False, it returns None if none has arrived.
"""


class Worker(Protocol):
    """What a worker process holds once its model is loaded."""

    @property
    def identity(self) -> object:
        """A picklable value that must be equal in all workers, for example a weights hash."""
        ...

    def results(self, read_item: ItemReader) -> Iterator[Any]:
        """Read items by `read_item` and yield one picklable result for each, in their order."""
        ...


@dataclass(frozen=True)
class Loaded:
    """The worker is loaded, with this identity."""

    identity: object


@dataclass(frozen=True)
class Finished:
    """The oldest item of the process is finished, with this result."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """The worker ended with an exception."""

    error: Exception


class _PoolClosedError(Exception):
    """The process that started this worker has closed the pipe or has ended."""


def serve(connection: Connection, pickled_loader: bytes) -> None:
    """Run a worker in this process: load it, then work on items until the pool closes the pipe.

    Args:
        connection: the worker's end of the pipe to the pool.
        pickled_loader: a pickled callable that returns a `Worker`.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the pool handles Ctrl-C and ends this process

    def send(message: object) -> None:
        try:
            connection.send(message)
        except OSError as error:
            raise _PoolClosedError from error

    def read_item(wait_for_item: bool) -> Any:
        try:
            return connection.recv() if wait_for_item or connection.poll() else None
        except (EOFError, OSError) as error:
            raise _PoolClosedError from error

    try:
        worker: Worker = pickle.loads(pickled_loader)()
        send(Loaded(worker.identity))
        for result in worker.results(read_item):
            send(Finished(result))
    except _PoolClosedError:
        return
    except Exception as error:
        with suppress(_PoolClosedError):
            send(Failed(_portable(error)))


def _portable(error: Exception) -> Exception:
    """The exception in a form that can be pickled, with its traceback as a note."""
    trace = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # it holds an object that cannot be pickled, or has unusual arguments
        error = RuntimeError(f"{type(error).__name__}: {error}")
    error.__cause__ = None
    error.add_note(f"In a worker process:\n{trace}")
    return error
