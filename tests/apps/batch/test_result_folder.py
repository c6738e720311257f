import json
import os

import pytest

from clip_surgery.apps.batch.job import TaskSettings, model_identity
from clip_surgery.apps.batch.result_folder import LOCK, MANIFEST, ResultFolder
from clip_surgery.apps.batch.run import run
from clip_surgery.apps.batch.shards import shard_path
from clip_surgery.errors import InputError
from clip_surgery.tasks.point_rules import ReferencePoints
from tests.apps.batch.jobs import Here, job_of, loaded, pictures, rows_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"), count=6, bad=False)


@pytest.fixture
def facts():
    return model_identity(loaded(), None)


def test_the_folder_knows_its_job(tmp_path, folder, facts):
    job = job_of(folder)
    with ResultFolder(tmp_path / "out", job) as results:
        key = results.check_model(facts)
        assert results.check_model(facts) == key
    with ResultFolder(tmp_path / "out", job) as results:
        assert results.check_model(facts) == key
    said = json.loads((tmp_path / "out" / MANIFEST).read_text())
    assert said["texts"] == list(job.texts)
    assert said["backbone"] == "demo"
    assert said["weights"] == facts["weights"]
    assert "redundancy" in said["method"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {MANIFEST, LOCK}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"texts": ("dog", "car", "a boar")}, r"its texts is .*boat.* and not .*boar"),
        ({"settings": TaskSettings(tasks=("maps",))}, "its tasks is"),
        ({"settings": TaskSettings(points=ReferencePoints())}, "its points is .*PeakPoints"),
        ({"settings": TaskSettings(min_presence=0.5)}, "its min presence is null and not 0.5"),
        ({"shard_size": 5}, "its shard size is 4 and not 5"),
        ({"segmenter": lambda: None}, "its segmenter is false and not true"),
    ],
)
def test_another_job_is_refused_before_a_model_is_loaded(
    tmp_path, folder, facts, settings, message
):
    with ResultFolder(tmp_path, job_of(folder)) as results:
        results.check_model(facts)
    with (
        pytest.raises(InputError, match=message),
        ResultFolder(tmp_path, job_of(folder, **settings)),
    ):
        pass


@pytest.mark.parametrize("fact", sorted(model_identity(loaded(), None)))
def test_another_model_is_refused(tmp_path, folder, facts, fact):
    with ResultFolder(tmp_path, job_of(folder)) as results:
        results.check_model(facts)
    with ResultFolder(tmp_path, job_of(folder)) as results:
        with pytest.raises(InputError, match=f"another job: its {fact} is"):
            results.check_model({**facts, fact: "another"})
        results.check_model(facts)


def test_facts_tell_explainers_apart(facts):
    from dataclasses import replace

    explainer = loaded()
    assert model_identity(explainer, None) == facts
    others = [
        explainer.with_method("similarity"),
        replace(explainer, batch_size=3),
        replace(explainer, vocabulary=None),
        replace(explainer, templates=("a {}.",)),
        replace(explainer, truncate=True),
    ]
    assert len({json.dumps(model_identity(one, None)) for one in (explainer, *others)}) == 6


def test_other_pictures_are_refused(tmp_path, facts):
    source = pictures(tmp_path / "in", count=2, bad=False)
    with ResultFolder(tmp_path / "out", job_of(source)) as results:
        results.check_model(facts)
    (source / "000.png").write_bytes(b"other")
    with (
        pytest.raises(InputError, match=r"out: holds results .* source .*give another --out"),
        ResultFolder(tmp_path / "out", job_of(source)),
    ):
        pass


def test_parts_of_unknown_origin(tmp_path, folder):
    (tmp_path / "part-00000.parquet").touch()
    with (
        pytest.raises(InputError, match=r"no _manifest\.json"),
        ResultFolder(tmp_path, job_of(folder)),
    ):
        pass


@pytest.mark.parametrize("text", ["", "{", "7", "\xff"])
def test_a_damaged_manifest(tmp_path, folder, text):
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with (
        pytest.raises(InputError, match=r"_manifest\.json: damaged"),
        ResultFolder(tmp_path, job_of(folder)),
    ):
        pass


def test_one_run_at_a_time(tmp_path, folder):
    with (
        ResultFolder(tmp_path, job_of(folder)),
        pytest.raises(InputError, match="another run is writing"),
        ResultFolder(tmp_path, job_of(folder)),
    ):
        pass
    with ResultFolder(tmp_path, job_of(folder)):
        pass


def test_a_folder_that_cannot_be(tmp_path, folder):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="cannot be the folder"),
        ResultFolder(tmp_path / "file", job_of(folder)),
    ):
        pass


def test_what_killed_processes_left_goes(tmp_path, folder):
    for name in (".part-00001.parquet.7.partial", ".part-00001.attempt.partial"):
        (tmp_path / name).touch()
    with ResultFolder(tmp_path, job_of(folder)):
        assert os.listdir(tmp_path) == [LOCK]


def test_a_run_goes_on_where_the_last_one_stopped(tmp_path, folder):
    job = job_of(folder, shard_size=1, settings=TaskSettings(tasks=("scores",)))
    told = []
    first = run(job, tmp_path, Here(), on_progress=told.append)
    assert (first.rows, first.made, first.shards, first.errors) == (6, 6, 6, 0)
    assert told == [0, 1, 1, 1, 1, 1, 1]
    rows = rows_of(tmp_path)
    stamps = [shard_path(tmp_path, shard).stat().st_mtime_ns for shard in range(6)]
    shard_path(tmp_path, 1).unlink()
    damaged = shard_path(tmp_path, 4)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    told.clear()
    with pytest.warns(UserWarning, match=r"part-00004\.parquet is damaged or is not part 4"):
        second = run(job, tmp_path, Here(), on_progress=told.append)
    assert (second.rows, second.made) == (6, 2)
    assert told == [4, 1, 1]
    assert rows_of(tmp_path) == rows
    after = [shard_path(tmp_path, shard).stat().st_mtime_ns for shard in range(6)]
    assert [a == b for a, b in zip(stamps, after, strict=True)] == [
        *(True, False, True, True, False, True)
    ]
    assert run(job, tmp_path, Here()).made == 0


def test_parts_that_do_not_arrive_are_told(tmp_path, folder):
    """A cluster whose machines do not share the folder."""

    class Elsewhere(Here):
        def run(self, job, choose_shards):
            for finished in super().run(job, choose_shards):
                shard_path(tmp_path, finished.number).unlink()
                yield finished

    with pytest.raises(InputError, match="2 of 2 parts were made but are not here"):
        run(job_of(folder, settings=TaskSettings(tasks=("scores",))), tmp_path, Elsewhere())


def test_copied_and_exchanged_parts_are_detected_and_computed_again(tmp_path, folder):
    job = job_of(folder, shard_size=1, settings=TaskSettings(tasks=("scores",)))
    run(job, tmp_path, Here())
    rows = rows_of(tmp_path)
    paths = [shard_path(tmp_path, number) for number in range(6)]
    paths[0].write_bytes(paths[1].read_bytes())
    exchanged = paths[2].read_bytes(), paths[3].read_bytes()
    paths[3].write_bytes(exchanged[0])
    paths[2].write_bytes(exchanged[1])
    with pytest.warns(UserWarning, match="is not part") as warned:
        summary = run(job, tmp_path, Here())
    assert summary.made == 3
    names = sorted(str(warning.message).split(" is ")[0] for warning in warned)
    assert names == [str(paths[number]) for number in (0, 2, 3)]
    assert rows_of(tmp_path) == rows


def test_results_of_another_job_are_never_replaced(tmp_path, folder):
    settings = TaskSettings(tasks=("scores",))
    run(job_of(folder, settings=settings), tmp_path, Here())
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match="holds results of another job"):
        run(job_of(folder, settings=settings, texts=("cat",)), tmp_path, Here())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
