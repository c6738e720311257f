"""Jobs for tests: images, loaders that other processes can be sent, an engine without them."""

from __future__ import annotations

import os
import sys
import time
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
from PIL import Image

from clip_surgery.apps.batch.job import Job
from clip_surgery.apps.batch.sources import open_source
from clip_surgery.apps.batch.worker import ShardWorker
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.loading import load
from clip_surgery.segmenters.segmenter import Candidates

TEXTS = ("dog", "car", "a boat")
loaded = cache(partial(load, "demo", templates="name", cache=False, vocabulary="common"))


def pictures(folder, *, count=10, bad=True):
    """Scenes of three shapes, and a broken file among them."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, scene in enumerate(SceneDataset(seed=11, count=count)):
        size = [(96, 96), (128, 96), (80, 120)][index % 3]
        scene.image.resize(size).save(folder / f"{index:03}.png")
    if bad:
        (folder / "003-bad.jpg").write_bytes(b"no image")
    return folder


def load_noting(folder):
    """Load the demo model, and leave the number of the process in a folder."""
    ray = sys.modules.get("ray")
    actor = ray is not None and ray.is_initialized() and ray.get_runtime_context().get_actor_id()
    Path(folder, str(os.getpid())).write_text("actor" if actor else "process")
    return load("demo", templates="name", cache=False, vocabulary="common")


def load_badly(kind):
    if kind == "death":
        os.kill(os.getpid(), 9)
    if kind == "bug":
        raise ZeroDivisionError("a bug")
    return load("demos")


def same_colour(picture, prompts):
    """A segmenter of known answers: all pixels that are coloured like the first click."""
    values = np.asarray(picture.image).astype(int)
    found = []
    for prompt in prompts:
        x, y = prompt.xy[0].astype(int)
        near = torch.from_numpy(np.abs(values - values[y, x]).sum(-1) < 60)
        found.append(Candidates(masks=near[None], scores=torch.tensor([0.5])))
    return found


def make_segmenter():
    return same_colour


def job_of(folder, **settings):
    source = open_source([folder]) if isinstance(folder, str | os.PathLike) else folder
    return Job(**{"source": source, "texts": TEXTS, "load": loaded, "shard_size": 4, **settings})


def gone(pid):
    """Whether a process has ended, or waits to be forgotten."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def wait_until(condition, seconds=60):
    for _ in range(20 * seconds):
        if condition():
            return True
        time.sleep(0.05)
    return False


class Here:
    """An engine in this process."""

    def run(self, job, choose_shards):
        threads = torch.get_num_threads()
        worker = ShardWorker.start(job, cores=threads)
        for request in choose_shards(worker.identity):
            yield worker.compute(request)


def rows_of(folder):
    return pyarrow.parquet.read_table(folder).to_pylist()


def grey(value, size=(8, 8)):
    return Image.new("RGB", size, (value, value, value))


def alike(one, other, *, tolerance=0.0):
    """Whether two rows say the same, floats within a tolerance."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = one.keys() == other.keys()
        return keys and all(alike(one[k], other[k], tolerance=tolerance) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(alike(a, b, tolerance=tolerance) for a, b in pairs)
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= tolerance
    return one == other
