"""Workers: several processes that measure the parts of a plan, each with a model of its own.

Parts are handed out one by one, to whoever is free. A worker writes what it has measured to the
journal and then says so; so one that dies takes nothing with it but the part in its hands, which
another is given. A part that ends its process again and again ends the run.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.evaluation.execution.evaluator import PARTS_IN_MEMORY
from clip_surgery.evaluation.execution.interrupts import children_uninterrupted
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.evaluation.execution.worker import READY, Task, work

ATTEMPTS = 3


class WorkerError(ClipSurgeryError, RuntimeError):
    """A process that measures has ended, and beginning another did not help."""


def measure_in_processes(task: Task, numbers: Sequence[int], *, workers: int) -> Generator[int]:
    """Measure these parts into the journal; their numbers come out as they are done.

    Raises:
        InputError: when the plan or the recipe of the model cannot be sent to another process.
        WorkerError: when a part has ended `ATTEMPTS` processes, or none can begin.
        Exception: what a worker raised.
    """
    try:
        content = pickle.dumps(task)
    except Exception as error:  # whatever a caller's class raises when it cannot be pickled
        raise InputError(
            f"Expected data set, methods, metrics and `load` that can be sent to a process, "
            f"but {error}."
        ) from error
    crew = Crew(content=content, plan=task.plan, waiting=deque(numbers))
    try:
        for _ in range(min(workers, len(numbers))):
            crew.begin_worker()
        while crew.waiting or any(worker.held for worker in crew.workers):
            crew.hand_out()
            yield from crew.listen()
    finally:
        crew.stop()


@dataclass(kw_only=True, eq=False)
class Member:
    """A process, the line to it, and the parts in its hands, the first of them under way."""

    process: SpawnProcess
    line: Connection
    held: deque[int] = field(default_factory=deque)
    ready: bool = False


@dataclass(kw_only=True, eq=False)
class Crew:
    """The workers, and the parts that nobody has."""

    content: bytes
    plan: Plan
    waiting: deque[int]
    workers: list[Member] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)

    def begin_worker(self) -> None:
        """Begin one more process."""
        # Spawned, not forked: a forked process with another's threads or GPU cannot work.
        context = get_context("spawn")
        line, far_end = context.Pipe()
        process = context.Process(target=work, args=(far_end, self.content), daemon=True)
        with children_uninterrupted():
            process.start()
        far_end.close()  # else the line would stay open when the worker has gone
        self.workers.append(Member(process=process, line=line))

    def hand_out(self) -> None:
        """Give each worker a part, then a second one to read ahead, while there are enough."""
        for depth in range(1, PARTS_IN_MEMORY + 1):
            for worker in self.workers:
                enough = depth == 1 or len(self.waiting) >= len(self.workers)
                if not self.waiting or not enough or len(worker.held) >= depth:
                    continue
                number = self.waiting.popleft()
                worker.held.append(number)
                try:
                    worker.line.send(number)
                except OSError:  # it is dead: `listen` will see that and take the part back
                    continue

    def listen(self) -> Iterator[int]:
        """Wait for the next words of any worker: the parts done."""
        lines = wait([worker.line for worker in self.workers])
        for worker in [one for one in self.workers if one.line in lines]:
            try:
                answer = worker.line.recv()
            except (EOFError, OSError):
                self._bury(worker)
                continue
            if isinstance(answer, BaseException):
                raise answer
            if answer == READY:
                worker.ready = True
            else:
                worker.held.remove(answer)
                yield answer

    def _bury(self, worker: Member) -> None:
        """Take the parts of a dead worker back, and begin another in its place."""
        worker.line.close()
        worker.process.join()
        self.workers.remove(worker)
        code = worker.process.exitcode
        if not worker.ready and code is not None and code >= 0:
            raise WorkerError(
                f"A process for measuring could not begin (exit code {code}; its own words are "
                'above). A script that uses several needs `if __name__ == "__main__":`.'
            )
        if worker.held:
            under_way = worker.held[0]
            self.deaths[under_way] += 1
            if self.deaths[under_way] >= ATTEMPTS:
                part = self.plan.parts()[under_way]
                raise WorkerError(
                    f"Images {part.start} to {part.stop - 1} have ended {ATTEMPTS} processes, "
                    f"the last with exit code {code} (-9: killed, as when memory runs out). "
                    "With a journal, the parts done are kept; try fewer workers."
                )
            self.waiting.extendleft(reversed(worker.held))
        if self.waiting:
            self.begin_worker()

    def stop(self) -> None:
        """End all processes."""
        for worker in self.workers:
            worker.line.close()
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(timeout=5)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()
        self.workers.clear()
