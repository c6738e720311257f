"""Worker processes. Each takes seconds to load, so few tests start them, and look at much."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from clip_surgery.apps.batch.local_engine import (
    LocalEngine,
    assign_gpus,
    available_cores,
    default_workers,
)
from clip_surgery.apps.batch.run import run
from clip_surgery.errors import ClipSurgeryError, InputError
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"), count=10)


@pytest.fixture(scope="module")
def rows(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("rows")
    run(job_of(folder, shard_size=1), out, Here())
    return rows_of(out)


@pytest.mark.slow
def test_a_kill_in_mid_run_loses_nothing(folder, rows, tmp_path):
    """Of two processes one is killed: every row is there, as one process alone makes it."""
    notes, out = tmp_path / "notes", tmp_path / "out"
    notes.mkdir()
    job = job_of(folder, load=partial(load_noting, notes), shard_size=1)
    killed = []

    def kill(made):
        if made and not killed:
            killed.append(next(int(path.name) for path in notes.iterdir()))
            os.kill(killed[0], signal.SIGKILL)

    summary = run(job, out, LocalEngine(workers=2), on_progress=kill)
    assert len(killed) == 1
    assert (summary.rows, summary.made, summary.errors) == (11, 11, 1)
    assert rows_of(out) == rows
    assert {path.name[0] for path in out.iterdir()} == {"p", "_"}  # nothing hidden is left
    assert all(gone(int(path.name)) for path in notes.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("bug", ZeroDivisionError, "a bug"),
        ("death", ClipSurgeryError, "3 worker processes died before .*killed by SIGKILL"),
    ],
)
def test_workers_that_cannot_start(folder, tmp_path, kind, error, message):
    job = job_of(folder, load=partial(load_badly, kind))
    with pytest.raises(error, match=message) as raised:
        run(job, tmp_path, LocalEngine())
    if kind == "bug":
        assert "load_badly" in raised.value.__notes__[0]
    assert not list(tmp_path.glob("*part*"))


STARTED = """
import sys
from functools import partial
from pathlib import Path
from clip_surgery.apps.batch.local_engine import LocalEngine
from clip_surgery.apps.batch.run import run
from tests.apps.batch.jobs import job_of, load_noting

if __name__ == "__main__":
    images, notes, out = map(Path, sys.argv[1:])
    job = job_of(images, load=partial(load_noting, notes), shard_size=1)
    run(job, out, LocalEngine(workers=1), on_progress=lambda rows: print(rows, flush=True))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_and_leaves_no_process(folder, rows, tmp_path):
    script, notes, out = tmp_path / "started.py", tmp_path / "notes", tmp_path / "out"
    script.write_text(STARTED)
    notes.mkdir()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
    }
    command = [sys.executable, str(script), str(folder), str(notes), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "0\n"
        assert process.stdout.readline() == "1\n"
        process.send_signal(signal.SIGKILL)
    [worker] = notes.iterdir()
    assert wait_until(lambda: gone(int(worker.name)))
    job = job_of(folder, shard_size=1)
    done = []
    summary = run(job, out, Here(), on_progress=done.append)
    assert 1 <= done[0] < 11
    assert summary.made == 11 - done[0]
    assert rows_of(out) == rows


def test_cores_and_workers():
    assert available_cores() >= 1
    with pytest.raises(InputError, match="at least 1 worker"):
        LocalEngine(workers=0)


@pytest.mark.parametrize(
    ("device", "gpus", "cores", "workers"),
    [
        ("cuda", 4, 16, 4),
        ("auto", 4, 16, 4),
        ("cuda:1", 0, 16, 1),
        ("cuda:0", 4, 16, 1),
        ("mps", 0, 8, 1),
        ("cpu", 0, 16, 4),
        ("cpu", 0, 2, 1),
    ],
)
def test_one_worker_for_each_named_device(device, gpus, cores, workers):
    assert default_workers(device, gpus=gpus, cores=cores) == workers


def test_workers_take_gpus_in_turn():
    assert assign_gpus(5, gpus=3) == [0, 1, 2, 0, 1]
    assert assign_gpus(2, gpus=1) == [None, None]
    assert assign_gpus(2, gpus=0) == [None, None]
