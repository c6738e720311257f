import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip_surgery.apps.batch import local_engine as local
from clip_surgery.apps.batch.run import Summary
from tests.apps.batch.jobs import Here, pictures, rows_of

QUICK = ("--templates", "name")


@pytest.fixture
def here(monkeypatch):
    """The local engine without worker processes; the arguments it was made with are recorded."""
    made = []

    class InThisProcess(Here):
        def __init__(self, **settings):
            made.append(settings)

    monkeypatch.setattr(local, "LocalEngine", InThisProcess)
    return made


@pytest.fixture
def labels(home):
    path = home / "labels.txt"
    path.write_text("# animals\ndog\ncar\n")
    return path


def test_a_folder_to_parquet(cli, home, here, labels):
    pictures(home / "in", count=5)
    done = cli("batch", "in", "--labels", labels, "--text", "a boat", "--shard-size", 4, *QUICK)
    assert done.code == 1  # one of them is bad
    assert done.out.startswith("6 rows, 1 of them errors in 2 files of out, ")
    assert done.out.endswith(" rows/s\n")
    assert "error" in done.err
    rows = rows_of("out")
    assert len(rows) == 6
    assert rows[0]["path"] == "in/000.png"
    assert rows[0]["texts"] == ["a boat", "dog", "car"]
    columns = ["path", "size", "texts", "scores", "presence", "points", "boxes", "masks"]
    assert list(rows[0]) == [*columns, "grid", "maps", "error"]
    again = cli("batch", "in", "--labels", labels, "--text", "a boat", "--shard-size", 4, *QUICK)
    assert again.out == "6 rows, 1 of them errors in 2 files of out (nothing was left to do)\n"
    (home / "out" / "part-00000.parquet").unlink()
    again = cli("batch", "in", "--labels", labels, "--text", "a boat", "--shard-size", 4, *QUICK)
    assert "6 rows, 1 of them errors, 2 of them from before in 2 files of out, " in again.out
    assert rows_of("out") == rows


def test_only_some_tasks_of_good_images(cli, home, here, labels):
    pictures(home / "in", count=2, bad=False)
    tasks = ("--tasks", "points, scores,scores", "--positives", 1, "--min-presence", 0.5)
    done = cli("batch", "in/*.png", "--labels", labels, "--out", "rows", *tasks, *QUICK)
    assert done.code == 0, done.err
    rows = rows_of("rows")
    assert list(rows[0]) == ["path", "size", "texts", "scores", "points", "error"]
    assert all(sum(one["label"] for one in of) <= 1 for row in rows for of in row["points"])


def test_parquet_of_bytes(cli, home, here, labels):
    pictures(home / "in", count=3, bad=False)
    content = [path.read_bytes() for path in sorted((home / "in").iterdir())]
    pq.write_table(pa.table({"jpg": [*content, b"no", None], "n": range(5)}), "in.parquet")
    done = cli(
        *("batch", "in.parquet", "--column", "jpg", "--key", "n", "--labels", labels),
        *("--tasks", "maps", *QUICK),
    )
    assert done.code == 1
    rows = rows_of("out")
    assert [row["path"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["error"] is None for row in rows] == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["in"], "at least one text"),
        (["in", "--text", "dog", "--tasks", "point"], "Did you mean 'points'"),
        (["in", "--text", "dog", "--column", "path"], "column 'path' is for Parquet"),
        (["none", "--text", "dog"], "none: no such file"),
        (["in", "--text", "dog", "--engine", "spark"], "--engine"),
        (["in", "--text", "dog", "--address", "auto"], "--address is for --engine ray"),
        (["in", "--text", "dog", "--engine", "ray", "--device", "cuda:1"], "give --device cuda"),
        (["in", "--text", "dog", "--segmenter", "x", "--tasks", "maps"], "not among --tasks"),
        (["in", "--text", "dog", "--model", "demos"], "Unknown"),
        (["in", "--text", "dog", "--labels", "none.txt"], "none.txt"),
        (["in", "--text", "dog", "--out", "in/000.png"], "cannot be the folder"),
        (["in", "--text", "dog", "--min-presence", "2"], "--min-presence"),
        (["in", "--text", "dog", "--method", "rollout"], "dense similarity"),
        (["in", "--text", "dog", "--workers", "0"], "--workers"),
        (["in", "--text", "dog", "--segmenter", "/none"], "/none"),
        (["t", "--text", "dog", "--out", "t"], "expected another folder than the source's"),
    ],
)
def test_wrong_usage(cli, home, here, arguments, reason):
    pictures(home / "in", count=1, bad=False)
    (home / "t").mkdir()
    pq.write_table(pa.table({"path": ["in/000.png"]}), "t/list.parquet")
    done = cli("batch", *arguments, *QUICK)
    assert done.code == 2, done.err
    assert reason in done.err
    assert done.err.count("\n") == 1


def test_the_requested_engine_is_used(cli, home, here, monkeypatch):
    from clip_surgery.apps.batch import ray_engine

    pictures(home / "in", count=1, bad=False)
    asked = ("in", "--text", "dog", "--device", "cpu", "--tasks", "scores", *QUICK)
    assert cli("batch", *asked, "--workers", 3).code == 0
    assert here == [{"workers": 3, "gpus": 0}]
    made = []

    class Noting(Here):
        def __init__(self, **settings):
            made.append(settings)

    monkeypatch.setattr(ray_engine, "RayEngine", Noting)
    ray = ("--engine", "ray", "--workers", 2, "--address", "auto")
    assert cli("batch", *asked, "--out", "other", *ray).code == 0
    assert made == [{"workers": 2, "address": "auto", "with_gpus": False}]


def test_without_the_extra(cli, home, here, monkeypatch):
    pictures(home / "in", count=1, bad=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = cli("batch", "in", "--text", "dog", *QUICK)
    assert done.code == 2
    assert "pip install 'clip-surgery[batch]'" in done.err


def test_rates():
    summary = Summary(rows=9, errors=0, made=6, shards=1, seconds=2.0)
    assert summary.rate == 3
    assert Summary(rows=9, errors=0, made=0, shards=1, seconds=0.0).rate == 0


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(home):
    """Ctrl-C reaches all processes of the terminal: one line, no traceback, and results stay."""
    pictures(home / "in", count=200, bad=False)
    code = "from clip_surgery.apps.cli.main import run; run()"
    command = [sys.executable, "-c", code, "batch", "in", "--text", "dog", "--shard-size", "1"]
    with subprocess.Popen(
        [*command, *QUICK], stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        while not list(Path("out").glob("part-*")):
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr.read() == "note: interrupted; results written so far are kept.\n"
    done = list(Path("out").glob("part-*"))
    assert 1 <= len(done) < 200
    assert {path.name[0] for path in Path("out").iterdir()} == {"p", "_"}
    assert len(rows_of("out")) == len(done)


def test_overwrite_replaces_the_results_of_another_job(cli, home, here, labels):
    pictures(home / "in", count=2, bad=False)
    arguments = ["batch", "in", "--labels", labels, "--tasks", "scores", *QUICK]
    assert cli(*arguments).code == 0
    (home / "out/_notes.txt").write_text("mine")
    other = ["batch", "in", "--text", "dog", "--tasks", "scores", *QUICK]
    refused = cli(*other, "--quiet")
    assert refused.code == 2
    assert "holds results of another job" in refused.err
    assert rows_of("out")[0]["texts"] == ["dog", "car"]
    assert cli(*other, "--overwrite").code == 0
    assert rows_of("out")[0]["texts"] == ["dog"]
    assert (home / "out/_notes.txt").read_text() == "mine"
