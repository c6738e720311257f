"""Run a batch job: compute the rows that are missing in its result folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clip_surgery.apps.batch.job import Job, ModelIdentity
from clip_surgery.apps.batch.parquet_tables import TableSource
from clip_surgery.apps.batch.result_folder import ResultFolder
from clip_surgery.apps.batch.shards import FinishedShard, shard_path
from clip_surgery.apps.batch.worker import ShardRequest
from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable

ChooseShards = Callable[[ModelIdentity], list[ShardRequest]]
"""Returns the shards to compute, given the identity of the loaded model."""


class Engine(Protocol):
    """Starts workers and distributes shards to them."""

    def run(self, job: Job, choose_shards: ChooseShards) -> Iterator[FinishedShard]:
        """Load the model, call `choose_shards` with its identity, and yield finished shards."""
        ...


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a run.

    Attributes:
        rows: number of rows in the result folder.
        errors: number of these rows that hold an error.
        made: number of rows that this run computed.
        shards: number of files in the result folder.
        seconds: time from the loaded model to the last file.
    """

    rows: int
    errors: int
    made: int
    shards: int
    seconds: float

    @property
    def rate(self) -> float:
        """Rows computed per second."""
        return self.made / self.seconds if self.seconds > 0 else 0.0


def run(
    job: Job,
    folder: str | Path,
    engine: Engine,
    *,
    on_progress: Callable[[int], object] | None = None,
) -> Summary:
    """Compute all rows of a job that are not in the result folder yet.

    A folder with damaged, copied or exchanged files is repaired: a warning names each of them, and
    they are computed again.

    Args:
        job: the images, the texts and what to compute.
        folder: the result folder, which is created if necessary. It may hold results of the same
            job only.
        engine: `LocalEngine` or `RayEngine`.
        on_progress: called with a number of rows: first those that were in the folder before, then
            those of each shard when it is finished.

    Returns:
        The number of rows, of errors, and the time.

    Raises:
        InputError: if the folder cannot be used or holds results of another job.
        ClipSurgeryError: if the model cannot be loaded or worker processes die repeatedly.
    """
    folder = Path(folder)
    report_rows = on_progress or (lambda rows: None)
    _check_not_in_source(job, folder)
    finished: dict[int, FinishedShard] = {}
    made = 0
    start = time.monotonic()
    with ResultFolder(folder, job) as results:

        def choose_shards(model: ModelIdentity) -> list[ShardRequest]:
            nonlocal start
            key = results.check_model(model)
            finished.update((shard.number, shard) for shard in results.finished_shards(key))
            report_rows(sum(shard.rows for shard in finished.values()))
            start = time.monotonic()
            return [
                ShardRequest(shard=number, folder=folder.absolute(), key=key)
                for number in range(job.shard_count)
                if number not in finished
            ]

        with closing(engine.run(job, choose_shards)) as new_shards:  # type: ignore[type-var]
            for shard in new_shards:
                finished[shard.number] = shard
                made += shard.rows
                report_rows(shard.rows)
        seconds = time.monotonic() - start
        _check_all_here(job, folder)
    return Summary(
        rows=sum(shard.rows for shard in finished.values()),
        errors=sum(shard.errors for shard in finished.values()),
        made=made,
        shards=len(finished),
        seconds=seconds,
    )


def _check_all_here(job: Job, folder: Path) -> None:
    numbers = range(job.shard_count)
    missing = [number for number in numbers if not shard_path(folder, number).exists()]
    if missing:
        raise InputError(
            f"{printable(folder)}: {len(missing)} of {job.shard_count} parts were made but are not "
            "here; all machines of a cluster must see this folder."
        )


def _check_not_in_source(job: Job, folder: Path) -> None:
    """Refuse to write beside the Parquet files of the source: they would be read the next time."""
    if isinstance(job.source, TableSource):
        for path in job.source.paths:
            if Path(job.source.folder, path).parent.resolve() == folder.resolve():
                raise InputError(
                    f"{printable(folder)}: expected another folder than the source's, "
                    f"{printable(path)}."
                )
