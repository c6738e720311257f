"""The Ray engine, on a small Ray of its own that ends with these tests."""

import os
import signal
import sys
from functools import partial

import pytest

pytest.importorskip("ray", reason="ray is not installed: pip install 'clip-surgery[batch]'")

from clip_surgery.apps.batch.ray_engine import RayEngine
from clip_surgery.apps.batch.run import run
from clip_surgery.errors import ClipSurgeryError, InputError, MissingExtraError, UnknownNameError
from tests.apps.batch.jobs import (
    Here,
    gone,
    job_of,
    load_badly,
    load_noting,
    pictures,
    rows_of,
    wait_until,
)

SETTINGS = {"num_cpus": 2, "object_store_memory": 100_000_000}
pytestmark = [
    pytest.mark.slow,
    # Ray's own ways: pipes it leaves to the collector, and notices of versions to come
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"), count=10)


def test_ray_gives_the_rows_of_a_local_run_though_an_actor_is_killed(folder, tmp_path):
    notes, here, there = tmp_path / "notes", tmp_path / "here", tmp_path / "there"
    notes.mkdir()
    run(job_of(folder, shard_size=1), here, Here())
    job = job_of(folder, load=partial(load_noting, notes), shard_size=1)
    killed = []

    def actors():
        return [int(path.name) for path in notes.iterdir() if path.read_text() == "actor"]

    def kill(made):
        if made and not killed:
            killed.extend(actors())
            os.kill(killed[0], signal.SIGKILL)

    summary = run(job, there, RayEngine(settings=SETTINGS), on_progress=kill)
    assert len(killed) == 1
    assert (summary.rows, summary.errors, summary.made) == (11, 1, 11)
    assert rows_of(there) == rows_of(here)
    assert len(actors()) == 2
    assert wait_until(lambda: all(gone(int(path.name)) for path in notes.iterdir()))
    assert {path.name[0] for path in there.iterdir()} == {"p", "_"}


def test_errors_come_out_of_ray_as_they_are(folder, tmp_path):
    job = job_of(folder, load=partial(load_badly, "name"))
    with pytest.raises(UnknownNameError, match="'demos'"):
        run(job, tmp_path, RayEngine(settings=SETTINGS))


def test_no_cluster(folder, tmp_path, monkeypatch):
    import ray

    def refuse(**settings):
        assert settings["address"] == "nowhere:1"
        raise ConnectionError("no node\nanswers")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ClipSurgeryError, match=r"no Ray cluster .* at nowhere:1: no node answers"):
        run(job_of(folder), tmp_path, RayEngine(address="nowhere:1"))


@pytest.mark.parametrize(
    ("machines", "workers", "expected"),
    [
        ([{"CPU": 8}], 2, (4, 0)),
        ([{"CPU": 2}], 4, (0.5, 0)),
        ([{"CPU": 4}, {"CPU": 4}, {"CPU": 4}], 2, (4, 0)),
        ([{"CPU": 16, "GPU": 2}, {"CPU": 16, "GPU": 2}], 4, (8, 1)),
        ([{"CPU": 16, "GPU": 1}, {}], 2, (8, 0.5)),
        ([{}], 2, (0.5, 0)),
    ],
)
def test_resources_per_actor_fit_the_machines(machines, workers, expected):
    class Cluster:
        @staticmethod
        def nodes():
            down = {"Alive": False, "Resources": {"CPU": 1}}
            return [down, *({"Alive": True, "Resources": resources} for resources in machines)]

    resources = RayEngine(workers=workers, with_gpus=True)._resources_per_actor(Cluster)
    assert (resources["num_cpus"], resources["num_gpus"]) == expected
    assert RayEngine(workers=workers)._resources_per_actor(Cluster)["num_gpus"] == 0


def test_ray_needs_the_extra(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clip-surgery\[batch\]'"):
        run(job_of(folder), tmp_path, RayEngine())


def test_no_worker():
    with pytest.raises(InputError, match="at least 1 worker"):
        RayEngine(workers=0)
