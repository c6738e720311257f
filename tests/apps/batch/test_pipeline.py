"""The steps of a worker overlap: decoding, the model, and tasks with the writing of rows.

A stand-in for a device waits for events without holding the interpreter lock. Each event is set by
another step, so the tests would wait for ever without overlap, and no time is measured.
"""

import threading
from dataclasses import dataclass, field

import pytest

from clip_surgery.apps.batch import decoding, worker
from clip_surgery.apps.batch.attempts import ShardAttempt
from clip_surgery.apps.batch.run import run
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.explainer import Explainer
from tests.apps.batch.jobs import Here, alike, job_of, loaded, pictures, rows_of

SECONDS = 60
WINDOWS = 4
SIZE = worker._BATCHES_PER_WINDOW  # images of a window, in batches of one
IMAGES = SIZE * WINDOWS


@dataclass(frozen=True, kw_only=True)
class OnDevice(Explainer):
    """An explainer whose forward pass first calls `on_forward` with its number."""

    on_forward: object
    forwards: list = field(default_factory=list)

    def explain_images(self, images, texts):
        if not images[0].name.endswith("an empty image"):
            self.forwards.append([image.name for image in images])
            self.on_forward(len(self.forwards) - 1)
        return super().explain_images(images, texts)


def on_device(on_forward):
    explainer = loaded()
    names = [name for name, entry in explainer.__dataclass_fields__.items() if entry.init]
    values = {name: getattr(explainer, name) for name in names} | {"batch_size": 1}
    return OnDevice(**values, on_forward=on_forward)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("images"), count=IMAGES, bad=False)


def test_the_model_runs_while_rows_are_made_and_images_are_decoded(folder, tmp_path, monkeypatch):
    forward_begun = [threading.Event() for _ in range(WINDOWS)]
    decoded = [threading.Event() for _ in range(IMAGES)]
    plain_decode, plain_rows = decoding.decode, worker.image_rows

    def decode(item):
        result = plain_decode(item)
        decoded[item.index].set()
        return result

    def on_forward(number):
        forward_begun[number].set()
        if number + 1 < WINDOWS:  # the first image of the next window is decoded meanwhile
            assert decoded[SIZE * (number + 1)].wait(SECONDS)

    windows_done = []

    def image_rows(images, *arguments):
        if not images[0].name.endswith("an empty image"):
            windows_done.append(len(windows_done))
            if len(windows_done) < WINDOWS:  # the next window is on the device meanwhile
                assert forward_begun[len(windows_done)].wait(SECONDS)
        return plain_rows(images, *arguments)

    monkeypatch.setattr(decoding, "decode", decode)
    monkeypatch.setattr(worker, "image_rows", image_rows)
    explainer = on_device(on_forward)
    summary = run(job_of(folder, load=lambda: explainer, shard_size=IMAGES), tmp_path, Here())
    assert (summary.rows, summary.errors) == (IMAGES, 0)
    assert [len(names) for names in explainer.forwards] == [SIZE] * WINDOWS
    assert windows_done == list(range(WINDOWS))


def test_the_model_is_at_most_one_window_ahead_of_the_rows(folder, tmp_path, monkeypatch):
    plain_rows = worker.image_rows
    ahead = []
    explainer = on_device(lambda number: None)

    def image_rows(images, *arguments):
        if not images[0].name.endswith("an empty image"):
            ahead.append(len(explainer.forwards) - len(ahead))
        return plain_rows(images, *arguments)

    monkeypatch.setattr(worker, "image_rows", image_rows)
    run(job_of(folder, load=lambda: explainer, shard_size=IMAGES), tmp_path, Here())
    assert len(ahead) == WINDOWS
    assert max(ahead) <= 2  # the window of these rows, and the next one


def test_rows_are_those_of_a_worker_without_overlap(folder, tmp_path):
    """Images that are processed alone, after deaths of workers, do not overlap."""
    run(job_of(folder, shard_size=IMAGES), tmp_path / "overlapping", Here())
    (tmp_path / "alone").mkdir()

    class AfterDeaths(Here):
        def run(self, job, choose_shards):
            for _ in range(2):
                ShardAttempt.begin(tmp_path / "alone", 0)
            yield from super().run(job, choose_shards)

    run(job_of(folder, shard_size=IMAGES), tmp_path / "alone", AfterDeaths())
    overlapping, alone = (rows_of(tmp_path / name) for name in ("overlapping", "alone"))
    assert alike(overlapping, alone, tolerance=1e-3)  # maps are float16


def test_an_image_whose_tasks_fail_does_not_change_the_other_rows(folder, tmp_path, monkeypatch):
    run(job_of(folder, shard_size=IMAGES), tmp_path / "good", Here())
    plain_rows = worker.image_rows

    def image_rows(images, *arguments):
        if any(image.name.endswith("005.png") for image in images):
            raise MemoryError
        return plain_rows(images, *arguments)

    monkeypatch.setattr(worker, "image_rows", image_rows)
    run(job_of(folder, shard_size=IMAGES), tmp_path / "bad", Here())
    good, bad = (rows_of(tmp_path / name) for name in ("good", "bad"))
    assert bad[5]["error"].endswith(
        "005.png: out of memory; try a smaller --size or another --device."
    )
    del good[5], bad[5]
    assert alike(bad, good, tolerance=1e-6)


def test_an_error_of_the_model_ends_the_job_and_its_threads(folder, tmp_path):
    def on_forward(number):
        if number == 2:
            raise UnsupportedModelError("no text tower")

    job = job_of(folder, load=lambda: on_device(on_forward), shard_size=IMAGES)
    with pytest.raises(UnsupportedModelError, match="no text tower"):
        run(job, tmp_path, Here())
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("model", "decode"))]
    assert not list(tmp_path.glob("*part-*.parquet"))


def test_an_error_of_the_rows_ends_the_thread_of_the_model(folder, tmp_path, monkeypatch):
    class StoppedError(BaseException):
        """Raised where Ctrl-C would be."""

    plain_rows = worker.image_rows

    def image_rows(images, *arguments):
        if images[0].name.endswith("000.png"):
            raise StoppedError
        return plain_rows(images, *arguments)

    monkeypatch.setattr(worker, "image_rows", image_rows)
    explainer = on_device(lambda number: None)
    with pytest.raises(StoppedError):
        run(job_of(folder, load=lambda: explainer, shard_size=IMAGES), tmp_path, Here())
    assert len(explainer.forwards) <= 2
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("model", "decode"))]
