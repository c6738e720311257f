"""The worker pool with small workers that need no model."""

import multiprocessing
import os
import signal
import threading
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from clip_surgery.errors import InputError
from clip_surgery.processes.worker_pool import WorkerError, WorkerPool


class Doubler:
    """Yields twice each item, and dies or raises at chosen items.

    notes: a folder in which each process that dies, raises or loads leaves a file.
    """

    def __init__(self, notes, number=0, *, identity="model", deadly=None, once=False, bad=None):
        self.notes, self.number, self.identity = Path(notes), number, identity
        self.deadly, self.once, self.bad = deadly, once, bad
        (self.notes / f"loaded-{number}-{os.getpid()}").touch()

    def results(self, read_item):
        while True:
            item = read_item(True)
            mark = self.notes / f"died-{item}"
            if item == self.deadly and not (self.once and mark.exists()):
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if item == self.bad:
                raise ZeroDivisionError("a bad item")
            yield 2 * item, self.number


def killed_while_loading():
    os.kill(os.getpid(), signal.SIGKILL)


def leaves_while_loading():
    raise SystemExit(3)


def raises_while_loading():
    raise EOFError("no model")


@pytest.fixture(autouse=True)
def _no_process_is_left():
    yield
    assert not multiprocessing.active_children()


def run(loaders, items=range(8), **settings):
    return list(WorkerPool(loaders, **settings).run(lambda identity: items))


def test_each_worker_has_its_own_loader_and_each_item_one_result(tmp_path):
    results = run([partial(Doubler, tmp_path, 0), partial(Doubler, tmp_path, 1)])
    assert sorted(value for value, _ in results) == [2 * item for item in range(8)]
    assert {name.name.split("-")[1] for name in tmp_path.iterdir()} <= {"0", "1"}


def test_the_items_of_a_killed_process_are_given_to_another(tmp_path):
    loader = partial(Doubler, tmp_path, deadly=3, once=True)
    results = run([loader], items_per_worker=2)
    assert [value for value, _ in results] == [2 * item for item in range(8)]
    assert len(list(tmp_path.glob("loaded-*"))) == 2


def test_an_item_that_kills_every_process_ends_the_run_by_name(tmp_path):
    pool = WorkerPool(
        [partial(Doubler, tmp_path, deadly=2)],
        max_deaths_per_item=2,
        describe=lambda item: f"image {item}",
    )
    results = []
    with pytest.raises(WorkerError, match=r"image 2 ended 2 worker processes.*SIGKILL"):
        results.extend(pool.run(lambda identity: range(4)))
    assert len(list(tmp_path.glob("loaded-*"))) == 2


def test_items_are_chosen_by_the_identity_of_the_loaded_model(tmp_path):
    identities = []
    pool = WorkerPool([partial(Doubler, tmp_path, identity={"weights": "abc"})])
    assert list(pool.run(lambda identity: identities.append(identity) or [])) == []
    assert identities == [{"weights": "abc"}]


def test_workers_with_different_models_are_refused(tmp_path):
    loaders = [partial(Doubler, tmp_path, identity=name) for name in ("one", "two")]
    pool = WorkerPool(loaders)
    # Items without end, so that the first worker cannot finish before the second one is loaded.
    with pytest.raises(WorkerError, match="loaded different models"):
        for _ in pool.run(lambda identity: range(10**6)):
            pass


def test_an_exception_in_a_worker_is_raised_here_with_its_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError, match="a bad item") as raised:
        run([partial(Doubler, tmp_path, bad=1)])
    assert "in results" in raised.value.__notes__[0]


@pytest.mark.parametrize(
    ("loader", "error", "message"),
    [
        (killed_while_loading, WorkerError, r"3 worker processes died before .*SIGKILL"),
        (leaves_while_loading, WorkerError, r"could not start \(exit code 3.*__main__"),
        (raises_while_loading, EOFError, "no model"),
    ],
)
def test_workers_that_cannot_start(loader, error, message):
    with pytest.raises(error, match=message):
        run([loader])


def test_closing_the_results_ends_the_processes(tmp_path):
    pool = WorkerPool([partial(Doubler, tmp_path)] * 2)
    with closing(pool.run(lambda identity: range(10**6))) as results:
        assert len(next(results)) == 2
    assert not multiprocessing.active_children()


def test_ctrl_c_reaches_the_pool_and_not_the_workers(tmp_path):
    """A worker that ignores SIGINT goes on; the exception is raised in this process only."""
    pool = WorkerPool([partial(Doubler, tmp_path)])
    results = pool.run(lambda identity: range(10**6))
    next(results)
    [worker] = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGINT)
    assert [next(results) for _ in range(20)]
    assert worker.is_alive()
    with pytest.raises(KeyboardInterrupt):
        results.throw(KeyboardInterrupt())
    assert not multiprocessing.active_children()


def test_a_loader_that_cannot_be_pickled_is_refused():
    lock = threading.Lock()
    with pytest.raises(InputError, match="can be sent to a process"):
        WorkerPool([lambda: lock])
