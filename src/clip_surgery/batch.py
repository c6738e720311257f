"""Batch jobs: explain many images and write one row per image to Parquet.

The public names for programs. On the command line, the same is `clip-surgery batch`.

Example:
    >>> from functools import partial
    >>> import clip_surgery as cs
    >>> from clip_surgery import batch
    >>> job = batch.Job(
    ...     source=batch.open_source(["photos"]),
    ...     texts=("dog", "car"),
    ...     load=partial(cs.load, "demo"),
    ...     settings=batch.TaskSettings(tasks=("scores", "boxes")),
    ... )  # doctest: +SKIP
    >>> summary = batch.run(job, "rows", batch.LocalEngine(workers=2))  # doctest: +SKIP
"""

from clip_surgery.apps.batch.feature_index import FeatureIndex, read_feature_index
from clip_surgery.apps.batch.items import Item, Source
from clip_surgery.apps.batch.job import DEFAULT_TASKS, TASKS, Job, Task, TaskSettings
from clip_surgery.apps.batch.local_engine import LocalEngine
from clip_surgery.apps.batch.ray_engine import RayEngine
from clip_surgery.apps.batch.rows import maps_of
from clip_surgery.apps.batch.run import Engine, Summary, run
from clip_surgery.apps.batch.sources import open_source
from clip_surgery.processes.worker_pool import WorkerError

__all__ = [
    "DEFAULT_TASKS",
    "TASKS",
    "Engine",
    "FeatureIndex",
    "Item",
    "Job",
    "LocalEngine",
    "RayEngine",
    "Source",
    "Summary",
    "Task",
    "TaskSettings",
    "WorkerError",
    "maps_of",
    "open_source",
    "read_feature_index",
    "run",
]
