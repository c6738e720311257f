"""Ray engine: shards over a Ray cluster, by an actor pool of Ray Data with a model in each actor.

Only shard numbers and counts travel; an actor reads the images and writes the file itself, so
the machines must see the same folders. Ray starts an actor that died again, with its shard.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from clip_surgery.apps.batch.job import Facts, Job
from clip_surgery.apps.batch.run import Begin
from clip_surgery.apps.batch.shards import Done
from clip_surgery.apps.batch.worker import Order, Worker
from clip_surgery.errors import ClipSurgeryError, InputError, MissingExtraError


@dataclass(frozen=True, kw_only=True)
class RayEngine:
    """An actor pool of Ray Data.

    Attributes:
        workers: how many actors.
        address: of a running cluster ("auto" for the one of this machine); None starts Ray here
            for this run, unless the caller has started it already.
        with_gpus: whether actors ask for the cluster's GPUs, if it has some.
        settings: more arguments of `ray.init`.

    Raises:
        InputError: for less than one worker.
    """

    workers: int = 1
    address: str | None = None
    with_gpus: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"Expected at least 1 worker, but got {self.workers}.")

    def run(self, job: Job, begin: Begin) -> Iterator[Done]:
        """Make shards, in the order in which they become ready.

        Raises:
            ClipSurgeryError: when the cluster or the model cannot be had, or actors die again and
                again.
            MissingExtraError: without ray.
        """
        ray = _ray()
        with self._cluster(ray), _plain_errors(ray), _quiet():
            share = self._share(ray)
            look = ray.remote(_look).options(num_cpus=share["num_cpus"], num_gpus=share["num_gpus"])
            facts = ray.get(look.remote(job, _cores(share)))
            orders = begin(facts)
            if orders:
                yield from self._over(ray, orders, job, facts, share)

    def _over(
        self, ray: Any, orders: list[Order], job: Job, facts: Facts, share: dict[str, float]
    ) -> Iterator[Done]:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        # one shard a block: what a dead actor had in hand is all that is made again
        shards = ray.data.from_items(
            [{"shard": order.shard} for order in orders], override_num_blocks=len(orders)
        )
        made = shards.map_batches(
            RayWorker,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(
                size=min(self.workers, len(orders)), max_tasks_in_flight_per_actor=1
            ),
            fn_constructor_kwargs={
                "job": job,
                "facts": facts,
                "folder": orders[0].folder,
                "key": orders[0].key,
                "cores": _cores(share),
            },
            **share,
        )
        for row in made.iter_rows():
            yield Done(int(row["shard"]), int(row["rows"]), int(row["errors"]))

    @contextmanager
    def _cluster(self, ray: Any) -> Iterator[None]:
        if ray.is_initialized():
            yield
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of Ray Data's own ways
        here = {} if self.address else {"include_dashboard": False}
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(address=self.address, **{**quiet, **here, **self.settings})
        except (ConnectionError, RuntimeError, ValueError) as error:
            where = self.address or "this machine"
            reason = " ".join(str(error).split())
            raise ClipSurgeryError(f"no Ray cluster could be had at {where}: {reason}") from error
        try:
            yield
        finally:
            ray.shutdown()

    def _share(self, ray: Any) -> dict[str, float]:
        """CPUs and GPUs of one actor: as many to a machine as there must be, on equal parts."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        cpus = [found for node in nodes if (found := node.get("CPU", 0)) > 0] or [1]
        at_one = -(-self.workers // len(cpus))
        share = min(cpus) / at_one
        gpus = sum(node.get("GPU", 0) for node in nodes) if self.with_gpus else 0
        return {
            "num_cpus": float(int(share)) if share >= 1 else share,
            "num_gpus": min(1.0, gpus / self.workers),
        }


class RayWorker:
    """An actor: a model that is loaded once, and makes the shards whose numbers it is given."""

    def __init__(self, job: Job, facts: Facts, folder: Any, key: str, cores: int) -> None:
        self._folder, self._key = folder, key
        self._worker = Worker.start(job, cores=cores)
        self._same = self._worker.facts == facts

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[int]]:
        """Make these shards; what comes out are counts."""
        if not self._same:
            raise ClipSurgeryError("the model is not the same on all machines of the cluster.")
        made = [
            self._worker.make(Order(shard=int(shard), folder=self._folder, key=self._key))
            for shard in batch["shard"]
        ]
        return {
            "shard": [one.shard for one in made],
            "rows": [one.rows for one in made],
            "errors": [one.errors for one in made],
        }


def _look(job: Job, cores: int) -> Facts:
    """What a machine of the cluster says of the model, once all is seen to work."""
    return Worker.start(job, cores=cores).facts


def _cores(share: dict[str, float]) -> int:
    return max(1, int(share["num_cpus"]))


@contextmanager
def _plain_errors(ray: Any) -> Iterator[None]:
    """Bring an error of this library out of what Ray has wrapped it in."""
    try:
        yield
    except ray.exceptions.RayError as error:
        found: BaseException | None = error
        while found is not None:
            if isinstance(found, ClipSurgeryError) and type(found).__module__.startswith("clip_"):
                raise found from None
            found = getattr(found, "cause", None) or found.__cause__
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Data's notices out of the lines of whoever calls."""
    logger = logging.getLogger("ray.data")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _ray() -> Any:
    try:
        import ray
        import ray.data
        import ray.exceptions
    except ImportError:
        raise MissingExtraError.of("batch", "ray") from None
    return ray
