"""Run: a job from its source to its folder, by whatever engine, as often as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clip_surgery.apps.batch.job import Facts, Job
from clip_surgery.apps.batch.parquet_tables import TableSource
from clip_surgery.apps.batch.result_folder import Results
from clip_surgery.apps.batch.shards import Done, shard_path
from clip_surgery.apps.batch.worker import Order
from clip_surgery.errors import InputError

Begin = Callable[[Facts], list[Order]]


class Engine(Protocol):
    """Starts workers and hands out shards."""

    def run(self, job: Job, begin: Begin) -> Iterator[Done]:
        """Load the model, ask `begin` what is to be made by it, and yield what is made."""
        ...


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did.

    Attributes:
        rows: in the folder now.
        errors: how many of them are errors.
        made: how many rows this run made.
        shards: files in the folder now.
        seconds: from the loaded model to the last file.
    """

    rows: int
    errors: int
    made: int
    shards: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows made a second."""
        return self.made / self.seconds if self.seconds > 0 else 0.0


def run(
    job: Job,
    folder: str | Path,
    engine: Engine,
    *,
    on_progress: Callable[[int], object] | None = None,
) -> Summary:
    """Make all rows of a job that are not in the folder yet.

    `on_progress` is told of rows: first of those that were there, then shard by shard.

    Raises:
        InputError: when the folder cannot be used or has results of another job.
        ClipSurgeryError: when the model cannot be loaded, or workers die again and again.
    """
    folder = Path(folder)
    told = on_progress or (lambda rows: None)
    _check_apart(job, folder)
    finished: dict[int, Done] = {}
    made = 0
    began = time.monotonic()
    with Results(folder, job) as results:

        def begin(facts: Facts) -> list[Order]:
            nonlocal began
            key = results.settle(facts)
            finished.update((one.shard, one) for one in results.done(key))
            told(sum(one.rows for one in finished.values()))
            began = time.monotonic()
            return [
                Order(shard=shard, folder=folder.absolute(), key=key)
                for shard in range(job.shards)
                if shard not in finished
            ]

        with closing(engine.run(job, begin)) as done:  # type: ignore[type-var]  # a generator
            for one in done:
                finished[one.shard] = one
                made += one.rows
                told(one.rows)
        seconds = time.monotonic() - began
        lost = [shard for shard in range(job.shards) if not shard_path(folder, shard).exists()]
    if lost:
        raise InputError(
            f"{folder}: {len(lost)} of {job.shards} parts were made but are not here; all machines "
            "of a cluster must see this folder."
        )
    return Summary(
        rows=sum(one.rows for one in finished.values()),
        errors=sum(one.errors for one in finished.values()),
        made=made,
        shards=len(finished),
        seconds=seconds,
    )


def _check_apart(job: Job, folder: Path) -> None:
    """Refuse to write beside the Parquet that is read: the results would be read next time."""
    if isinstance(job.source, TableSource):
        for path in job.source.paths:
            if Path(job.source.folder, path).parent.resolve() == folder.resolve():
                raise InputError(f"{folder}: expected another folder than the source's, {path}.")
