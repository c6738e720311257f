"""The Ray engine: an actor pool of Ray Data on a Ray cluster, with a model in each actor.

Only shard numbers and counts are sent. An actor reads the images and writes the result file itself,
so all machines must see the same folders. Ray restarts an actor that died, with its shard.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from clip_surgery.apps.batch.job import Job, ModelIdentity
from clip_surgery.apps.batch.run import ChooseShards
from clip_surgery.apps.batch.shards import FinishedShard
from clip_surgery.apps.batch.worker import ShardRequest, ShardWorker
from clip_surgery.errors import ClipSurgeryError, InputError, MissingExtraError


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """An actor pool of Ray Data.

    Attributes:
        workers: number of actors.
        address: address of a running cluster, "auto" for the one of this machine. If None, Ray is
            started on this machine for the run, unless the caller has started it already.
        with_gpus: whether actors request GPUs, if the cluster has some.
        settings: further arguments of `ray.init`.

    Raises:
        InputError: if there is less than one worker.
    """

    workers: int = 1
    address: str | None = None
    with_gpus: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"Expected at least 1 worker, but got {self.workers}.")

    def run(self, job: Job, choose_shards: ChooseShards) -> Iterator[FinishedShard]:
        """Compute shards and yield each in the order of completion.

        Args:
            job: what to compute.
            choose_shards: called with the identity of the loaded model; returns the shards.

        Raises:
            ClipSurgeryError: if the cluster cannot be reached, the model cannot be loaded, or
                actors die repeatedly.
            MissingExtraError: if ray is not installed.
        """
        ray = _import_ray()
        with self._cluster(ray), _unwrapped_errors(ray), _without_notices():
            resources = self._resources_per_actor(ray)
            inspect = ray.remote(_inspect_model).options(**resources)
            model = ray.get(inspect.remote(job, _cores(resources)))
            requests = choose_shards(model)
            if requests:
                yield from self._compute(ray, requests, job, model, resources)

    def _compute(
        self,
        ray: Any,
        requests: list[ShardRequest],
        job: Job,
        model: ModelIdentity,
        resources: dict[str, float],
    ) -> Iterator[FinishedShard]:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        # One shard per block, so that only the shard of a dead actor is computed again.
        shards = ray.data.from_items(
            [{"shard": request.shard} for request in requests], override_num_blocks=len(requests)
        )
        results = shards.map_batches(
            RayWorker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(self.workers, len(requests)), max_tasks_in_flight_per_actor=1
            ),
            fn_constructor_kwargs={
                "job": job,
                "model": model,
                "folder": requests[0].folder,
                "key": requests[0].key,
                "cores": _cores(resources),
            },
            **resources,
        )
        for row in results.iter_rows():
            yield FinishedShard(int(row["shard"]), int(row["rows"]), int(row["errors"]))

    @contextmanager
    def _cluster(self, ray: Any) -> Iterator[None]:
        """Connect to the cluster or start Ray, unless the caller has done so."""
        if ray.is_initialized():
            yield
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        arguments: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if not self.address:
            arguments["include_dashboard"] = False
        try:
            ray.init(address=self.address, **(arguments | self.settings))
        except (ConnectionError, RuntimeError, ValueError) as error:
            address = self.address or "this machine"
            reason = " ".join(str(error).split())
            raise ClipSurgeryError(f"no Ray cluster could be had at {address}: {reason}") from error
        try:
            yield
        finally:
            ray.shutdown()

    def _resources_per_actor(self, ray: Any) -> dict[str, float]:
        """CPUs and GPUs of one actor, if the actors are divided equally among the machines."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus_per_node = [node["CPU"] for node in nodes if node.get("CPU", 0) > 0] or [1]
        actors_per_node = -(-self.workers // len(cpus_per_node))
        cpus = min(cpus_per_node) / actors_per_node
        gpus = sum(node.get("GPU", 0) for node in nodes) if self.with_gpus else 0
        return {
            "num_cpus": float(int(cpus)) if cpus >= 1 else cpus,
            "num_gpus": min(1.0, gpus / self.workers),
        }


class RayWorker:
    """An actor: it loads the model once, and computes the shards whose numbers it receives."""

    def __init__(self, job: Job, model: ModelIdentity, folder: Any, key: str, cores: int) -> None:
        self._folder, self._key = folder, key
        self._worker = ShardWorker.start(job, cores=cores)
        self._has_same_model = self._worker.identity == model

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Compute shards, and return their numbers, rows and errors.

        Raises:
            ClipSurgeryError: if this actor has loaded another model than the first one.
        """
        if not self._has_same_model:
            raise ClipSurgeryError("the model is not the same on all machines of the cluster.")
        finished = [
            self._worker.compute(ShardRequest(shard=int(shard), folder=self._folder, key=self._key))
            for shard in batch["shard"]
        ]
        return {
            "shard": [shard.number for shard in finished],
            "rows": [shard.rows for shard in finished],
            "errors": [shard.errors for shard in finished],
        }


def _inspect_model(job: Job, cores: int) -> ModelIdentity:
    """Load the model on a machine of the cluster, check that it works, and identify it."""
    return ShardWorker.start(job, cores=cores).identity


def _cores(resources: dict[str, float]) -> int:
    return max(1, int(resources["num_cpus"]))


@contextmanager
def _unwrapped_errors(ray: Any) -> Iterator[None]:
    """Raise an error of this library itself instead of the Ray error that wraps it."""
    try:
        yield
    except ray.exceptions.RayError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ClipSurgeryError) and type(cause).__module__.startswith("clip_"):
                raise cause from None
            cause = getattr(cause, "cause", None) or cause.__cause__
        raise


@contextmanager
def _without_notices() -> Iterator[None]:
    """Suppress the notices of Ray Data below errors."""
    logger = logging.getLogger("ray.data")
    previous_level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(previous_level)


def _import_ray() -> Any:
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError:
        raise MissingExtraError.of("batch", "ray") from None
    return ray
