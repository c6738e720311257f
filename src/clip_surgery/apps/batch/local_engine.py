"""The local engine: worker processes on this machine, each with a model of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from clip_surgery.apps.batch.job import Job
from clip_surgery.apps.batch.run import ChooseShards
from clip_surgery.apps.batch.shards import FinishedShard
from clip_surgery.apps.batch.worker import ShardRequest, ShardWorker
from clip_surgery.errors import InputError
from clip_surgery.processes.worker_pool import WorkerPool

CORES_PER_WORKER = 4
"""CPU cores of a worker by default: one model is hardly faster with more."""


@dataclass(frozen=True, kw_only=True)
class LocalEngine:
    """Worker processes on this machine.

    Attributes:
        workers: number of processes. Each loads the whole model and uses its share of the cores.
        gpus: number of GPUs over which the processes are distributed. With 0 or 1, all use the
            device that `Job.load` chooses.

    Raises:
        InputError: if there is less than one worker.
    """

    workers: int = 1
    gpus: int = 0

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"Expected at least 1 worker, but got {self.workers}.")

    def run(self, job: Job, choose_shards: ChooseShards) -> Iterator[FinishedShard]:
        """Compute shards and yield each in the order of completion.

        Args:
            job: what to compute.
            choose_shards: called with the identity of the loaded model; returns the shards.

        Raises:
            ClipSurgeryError: if the model cannot be loaded or processes die repeatedly.
            Exception: an exception that was raised in a worker process, with its traceback as a
                note.
        """
        workers = min(self.workers, job.shard_count)
        cores = max(1, available_cores() // workers)
        pool: WorkerPool[ShardRequest, FinishedShard] = WorkerPool(
            [
                partial(_load_worker, job, cores=cores, gpu=gpu)
                for gpu in assign_gpus(workers, self.gpus)
            ]
        )
        yield from pool.run(choose_shards)


def default_workers(device: str, *, gpus: int, cores: int) -> int:
    """The number of workers for a device: one for each GPU that may be used.

    Args:
        device: a device name as in `load`. "auto" and "cuda" may use all GPUs; a name with an
            index, such as "cuda:1", and "mps" stand for one GPU.
        gpus: number of CUDA GPUs of this machine.
        cores: number of CPU cores that this process may use.

    Returns:
        At least 1. Without a GPU, one worker for each `CORES_PER_WORKER` cores.

    Example:
        >>> default_workers("cuda", gpus=2, cores=16), default_workers("cuda:1", gpus=2, cores=16)
        (2, 1)
    """
    if device in ("auto", "cuda") and gpus:
        return gpus
    if device.startswith(("cuda", "mps")) or (device == "auto" and _has_mps()):
        return 1
    return max(1, cores // CORES_PER_WORKER)


def assign_gpus(workers: int, gpus: int) -> list[int | None]:
    """The index of the GPU of each worker, in turn; None where there are not several GPUs.

    Example:
        >>> assign_gpus(3, gpus=2), assign_gpus(2, gpus=1)
        ([0, 1, 0], [None, None])
    """
    return [number % gpus if gpus > 1 else None for number in range(workers)]


def available_cores() -> int:
    """The number of CPU cores that this process may use.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _load_worker(job: Job, *, cores: int, gpu: int | None) -> ShardWorker:
    """Load the worker of a process, which sees no other GPU than its own."""
    if gpu is not None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[gpu] if visible else str(gpu)
    return ShardWorker.start(job, cores=cores, threads=min(4, max(2, cores)))


def _has_mps() -> bool:
    import torch

    return torch.backends.mps.is_available()
