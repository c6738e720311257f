"""Local engine: worker processes on this machine, each with a model of its own.

Every process has a pipe of its own and no lock is shared, so one that is killed at any moment
leaves nothing broken: its shard is made by another.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from clip_surgery.apps.batch.job import Facts, Job
from clip_surgery.apps.batch.run import Begin
from clip_surgery.apps.batch.shards import Done
from clip_surgery.apps.batch.worker import Order, Worker
from clip_surgery.errors import ClipSurgeryError, InputError

_MOST_DEATHS = 3  # in a row without any work done
_PATIENCE = 5.0  # seconds for a process to end


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Worker processes.

    Attributes:
        workers: how many; each has its share of the cores, and the whole model in memory.
        gpus: over how many GPUs they are spread; 0 leaves the choice to `Job.load`.

    Raises:
        InputError: for less than one worker.
    """

    workers: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"Expected at least 1 worker, but got {self.workers}.")

    def run(self, job: Job, begin: Begin) -> Iterator[Done]:
        """Make shards, in the order in which they become ready.

        Raises:
            ClipSurgeryError: when the model cannot be loaded, or processes die again and again.
            RuntimeError: for an error of this library in a worker, with its trace as a note.
        """
        crew = _Crew(job, min(self.workers, job.shards), self.gpus)
        try:
            yield from crew.run(begin)
        finally:
            crew.stop()


def available_cores() -> int:
    """Cores that this process may use.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(kw_only=True, eq=False)
class _Hand:
    """A process, and what it was told to make."""

    process: BaseProcess
    pipe: Connection
    order: Order | None = None
    ready: bool = False


@dataclass
class _Crew:
    """The processes of one run."""

    job: Job
    size: int
    gpus: int
    hands: list[_Hand] = field(default_factory=list)
    todo: deque[Order] | None = None
    facts: Facts | None = None
    idle_deaths: int = 0

    def run(self, begin: Begin) -> Iterator[Done]:
        for number in range(self.size):
            self.hands.append(self._start(number))
        while self.todo is None or self.todo or any(hand.order for hand in self.hands):
            by_pipe: dict[Any, _Hand] = {hand.pipe: hand for hand in self.hands}
            for pipe in wait(list(by_pipe)):
                hand = by_pipe[pipe]
                try:
                    message = hand.pipe.recv()
                except (EOFError, OSError):
                    self._replace(hand)
                    continue
                done = self._hear(hand, message, begin)
                if done is not None:
                    yield done
            for hand in self.hands:
                if hand.ready and hand.order is None and self.todo:
                    hand.order = self.todo.popleft()
                    with suppress(OSError):  # it just died, which the next round will see
                        hand.pipe.send(hand.order)

    def stop(self) -> None:
        """End all processes; what they were at is lost, what is written stays."""
        for hand in self.hands:
            hand.process.terminate()
        for hand in self.hands:
            hand.process.join(_PATIENCE)
            if hand.process.is_alive():
                hand.process.kill()
                hand.process.join()
            hand.pipe.close()
            hand.process.close()
        self.hands.clear()

    def _start(self, number: int) -> _Hand:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        cores = max(1, available_cores() // self.size)
        gpu = number % self.gpus if self.gpus > 1 else None
        process = context.Process(
            target=_serve, args=(theirs, self.job, cores, gpu), name=f"batch-{number}", daemon=True
        )
        with _interrupts_held():
            process.start()
        theirs.close()  # so that the pipe ends with the process
        return _Hand(process=process, pipe=ours)

    def _hear(self, hand: _Hand, message: object, begin: Begin) -> Done | None:
        if isinstance(message, Exception):
            raise message
        if isinstance(message, Done):
            hand.order, self.idle_deaths = None, 0
            return message
        if isinstance(message, dict):
            hand.ready = True
            if self.facts is None:
                self.facts = message
                self.todo = deque(begin(message))
            elif self.facts != message:
                raise ClipSurgeryError("the model changed while it was loaded by several workers.")
        return None

    def _replace(self, hand: _Hand) -> None:
        """A process is dead: another takes its place, and its shard comes first again."""
        hand.process.join()
        number, code = self.hands.index(hand), hand.process.exitcode
        hand.pipe.close()
        hand.process.close()
        self.hands.remove(hand)
        if hand.order is None:
            self.idle_deaths += 1
            if self.idle_deaths >= _MOST_DEATHS:
                raise ClipSurgeryError(
                    f"{self.idle_deaths} worker processes died before they did anything "
                    f"({_ending(code)}); is there memory for --workers {self.size}?"
                )
        elif self.todo is not None:
            self.todo.appendleft(hand.order)
        self.hands.insert(number, self._start(number))


def _serve(pipe: Connection, job: Job, cores: int, gpu: int | None) -> None:
    """What a worker process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is told to whoever started it
    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu] if visible else str(gpu)
    try:
        worker = Worker.start(job, cores=cores, threads=min(4, max(2, cores)))
        pipe.send(worker.facts)
        while True:
            pipe.send(worker.make(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # whoever started it has gone
    except ClipSurgeryError as error:
        pipe.send(error)
    except Exception as error:
        told = RuntimeError(f"in a worker process: {type(error).__name__}: {error}")
        told.add_note(traceback.format_exc())
        pipe.send(told)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while a process is started, which inherits that until it ignores it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _ending(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"
