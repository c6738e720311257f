import os
import sys
from dataclasses import dataclass, replace

import pyarrow.parquet
import pytest
import torch

from clip_surgery.apps.batch.attempts import ShardAttempt
from clip_surgery.apps.batch.job import TaskSettings
from clip_surgery.apps.batch.run import run
from clip_surgery.apps.batch.sources import open_source
from clip_surgery.apps.batch.worker import ShardWorker
from clip_surgery.errors import ClipSurgeryError, InputError, UnsupportedModelError
from clip_surgery.explainer import Explainer
from tests.apps.batch.jobs import Here, alike, job_of, loaded, make_segmenter, pictures, rows_of


@dataclass(frozen=True, kw_only=True)
class Failing(Explainer):
    """An explainer that raises for one image, or for more than `most` images together."""

    error: BaseException
    bad: str = "002.png"
    most: int = 100

    def explain_images(self, pictures, texts):
        names = [picture.name for picture in pictures]
        if any(name.endswith(self.bad) for name in names) or len(names) > self.most:
            raise self.error
        return super().explain_images(pictures, texts)


def failing(error, **settings):
    explainer = loaded()
    arguments = [name for name, field in explainer.__dataclass_fields__.items() if field.init]
    fields = {name: getattr(explainer, name) for name in arguments}
    return lambda: Failing(**fields, error=error, **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"), count=10)


@pytest.fixture(scope="module")
def rows(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("rows")
    summary = run(job_of(folder), out, Here())
    assert (summary.rows, summary.errors, summary.shards) == (11, 1, 3)
    return rows_of(out)


def test_one_row_a_picture_in_order(rows, folder):
    assert [row["path"] for row in rows] == sorted(map(str, folder.iterdir()))
    [bad] = [row for row in rows if row["error"]]
    assert bad["path"].endswith("003-bad.jpg")
    assert bad["error"].endswith("003-bad.jpg: not an image in a format that Pillow reads.")
    assert set(bad.values()) == {bad["path"], bad["error"], None}
    sizes = {(row["size"]["height"], row["size"]["width"]) for row in rows if row["size"]}
    assert sizes == {(96, 96), (96, 128), (120, 80)}


def test_rows_are_those_of_the_explainer_called_by_hand(rows, folder):
    explainer = loaded()
    for row in rows:
        if row["error"] is None:
            explanation = explainer([row["path"]], row["texts"])
            scores = explanation.image_scores[0].tolist()
            assert row["scores"] == pytest.approx(scores, abs=1e-6)


@pytest.mark.parametrize("settings", [{"shard_size": 1}, {"shard_size": 7}, {"shard_size": None}])
def test_rows_do_not_depend_on_the_cut(rows, folder, settings, tmp_path):
    run(job_of(folder, **settings), tmp_path, Here())
    found = rows_of(tmp_path)
    for column in ("path", "size", "texts", "points", "masks", "error"):
        assert [row[column] for row in found] == [row[column] for row in rows]
    for column in ("scores", "presence", "boxes"):
        one, other = ([row[column] for row in some] for some in (found, rows))
        assert alike(one, other, tolerance=1e-6)


def test_the_same_cut_gives_the_same_bits(rows, folder, tmp_path):
    run(job_of(folder), tmp_path, Here())
    assert rows_of(tmp_path) == rows


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputError("002.png: too long"), "002.png: too long"),
        (RuntimeError("CUDA out of memory. Tried"), "002.png: out of memory; try a smaller --size"),
        (MemoryError(), "002.png: out of memory"),
        (KeyError("x"), "002.png: unexpected KeyError: 'x'"),
    ],
)
def test_one_that_fails_does_not_stop_its_neighbours(rows, folder, tmp_path, error, message):
    summary = run(job_of(folder, load=failing(error)), tmp_path, Here())
    assert summary.errors == 2
    found = rows_of(tmp_path)
    assert message in found[2]["error"]
    assert found[2]["scores"] is None
    good = [index for index in range(11) if index != 2]
    assert alike([found[i] for i in good], [rows[i] for i in good], tolerance=2e-3)


@pytest.mark.parametrize("most", [1, 2])
def test_images_too_large_together_are_taken_in_parts(rows, folder, tmp_path, most):
    load = failing(torch.OutOfMemoryError(), bad="none", most=most)
    assert run(job_of(folder, load=load), tmp_path, Here()).errors == 1
    assert [row["points"] for row in rows_of(tmp_path)] == [row["points"] for row in rows]


def test_a_model_without_the_part_stops_the_job(folder, tmp_path):
    job = job_of(folder, load=failing(UnsupportedModelError("no text tower")))
    with pytest.raises(UnsupportedModelError, match="no text tower"):
        run(job, tmp_path, Here())
    assert not list(tmp_path.glob("part-*"))
    assert not list(tmp_path.glob(".part-*"))


def test_a_task_that_cannot_be_done_is_told_before_any_picture(folder, tmp_path):
    def without_vocabulary():
        return replace(loaded(), vocabulary=None)

    with pytest.raises(InputError, match="vocabulary"):
        run(job_of(folder, load=without_vocabulary), tmp_path, Here())
    with pytest.raises(InputError, match="dense similarity"):
        run(job_of(folder, load=lambda: loaded().with_method("rollout")), tmp_path, Here())
    assert not (tmp_path / "_manifest.json").exists()
    tasks = TaskSettings(tasks=("scores",))
    assert run(job_of(folder, load=without_vocabulary, settings=tasks), tmp_path, Here()).made == 11


class Died(BaseException):
    """What takes the process away in this test."""


def test_a_picture_that_kills_its_process_becomes_an_error(rows, folder, tmp_path):
    deaths = []

    class Reviving(Here):
        def run(self, job, choose_shards):
            worker = ShardWorker.start(job, cores=torch.get_num_threads())
            for request in choose_shards(worker.identity):
                while True:
                    try:
                        yield worker.compute(request)
                        break
                    except Died:
                        deaths.append(request.shard)

    summary = run(job_of(folder, load=failing(Died())), tmp_path, Reviving())
    assert deaths == [0] * 4  # twice with others, and twice alone
    assert summary.errors == 2
    found = rows_of(tmp_path)
    assert "002.png: the process that reads it dies each time" in found[2]["error"]
    good = [index for index in range(11) if index != 2]
    assert [found[i]["points"] for i in good] == [rows[i]["points"] for i in good]


def test_a_shard_that_kills_again_and_again_stops_the_job(folder, tmp_path):
    job = job_of(folder)

    class Cursed(Here):
        def run(self, job, choose_shards):
            for _ in range(6):
                ShardAttempt.begin(tmp_path, 1)
            yield from super().run(job, choose_shards)

    with pytest.raises(ClipSurgeryError, match="died 6 times while they computed part 1"):
        run(job, tmp_path, Cursed())
    assert [path.name for path in tmp_path.glob("part-*")] == ["part-00000.parquet"]
    assert run(job, tmp_path, Here()).made == 7  # another day


def test_a_segmenter_comes_along(folder, tmp_path):
    run(job_of(folder, segmenter=make_segmenter), tmp_path, Here())
    found = [row["cut_outs"] for row in rows_of(tmp_path) if row["error"] is None]
    assert all(len(one) == 3 for one in found)
    assert sum(cut is not None for one in found for cut in one) > 20


@pytest.mark.parametrize(
    ("count", "given", "shards", "size"),
    [
        *[(1, None, 1, 16), (17, None, 2, 16), (6400, None, 64, 100), (10**6, None, 1954, 512)],
        *[(10, 3, 4, 3), (9, 3, 3, 3)],
    ],
)
def test_the_cut(count, given, shards, size):
    job = job_of(range(count), shard_size=given)
    assert (job.shard_count, job.images_per_shard) == (shards, size)
    cut = [index for shard in range(min(shards, 70)) for index in job.image_range(shard)]
    assert cut == list(range(min(count, 70 * size)))
    for shard in (-1, shards):
        with pytest.raises(IndexError):
            job.image_range(shard)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_file_names_that_are_not_utf8_are_escaped_in_rows(tmp_path):
    source = tmp_path / os.fsdecode(b"in-\xff")
    pictures(source, count=2, bad=False)
    (source / "000.png").rename(source / os.fsdecode(b"caf\xe9.png"))
    (source / os.fsdecode(b"not-\xe9.png")).write_bytes(b"not an image")
    out = tmp_path / os.fsdecode(b"out-\xff")
    job = job_of(source, settings=TaskSettings(tasks=("scores",)))
    assert run(job, out, Here()).errors == 1
    assert run(job, out, Here()).made == 0
    with (out / "part-00000.parquet").open("rb") as file:
        rows = pyarrow.parquet.read_table(file).to_pylist()
    folder = f"{tmp_path}/in-\\xff"
    assert [row["path"] for row in rows] == [
        f"{folder}/{name}" for name in ("001.png", r"caf\xe9.png", r"not-\xe9.png")
    ]
    assert rows[1]["scores"]
    assert rows[2]["error"].startswith(rf"{folder}/not-\xe9.png: not an image")


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files, pipes and /dev/zero")
def test_huge_files_pipes_and_devices_are_rows_with_errors(tmp_path):
    source = pictures(tmp_path / "in", count=1, bad=False)
    with (source / "huge.png").open("wb") as file:
        file.truncate(100 * 2**30)
    os.mkfifo(source / "pipe.png")
    names = [source / "000.png", source / "huge.png", source / "pipe.png", "/dev/zero"]
    job = job_of(open_source(names), settings=TaskSettings(tasks=("scores",)))
    assert run(job, tmp_path / "out", Here()).errors == 3
    errors = [row["error"] for row in rows_of(tmp_path / "out")]
    assert errors[0] is None
    assert "huge.png: larger than the limit" in errors[1]
    assert "pipe.png: expected a regular file" in errors[2]
    assert "/dev/zero: expected a regular file" in errors[3]


@pytest.mark.parametrize("settings", [{"texts": ()}, {"texts": ("a", "a")}, {"shard_size": 0}])
def test_what_is_no_job(settings):
    with pytest.raises(InputError):
        job_of(range(3), **settings)
