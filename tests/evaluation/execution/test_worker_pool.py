"""Several processes give the results of one to the last bit, even if some of them are killed."""

import multiprocessing
import pickle
import signal
import threading
from functools import partial

import pytest

from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError
from clip_surgery.evaluation.execution.evaluator import Evaluator
from clip_surgery.evaluation.execution.journal import Journal
from clip_surgery.evaluation.execution.plan import Plan
from clip_surgery.evaluation.execution.prefetch import Prefetcher
from clip_surgery.evaluation.execution.resuming import stored_result
from clip_surgery.evaluation.execution.run import (
    EXPLANATION_METRICS,
    EvaluationInterrupted,
    evaluate,
)
from clip_surgery.evaluation.execution.worker import READY, Task, work
from clip_surgery.evaluation.execution.worker_pool import ATTEMPTS, WorkerError
from clip_surgery.methods.registry import parse_methods
from tests.evaluation.squares import Squares, load_deadly, load_tiny, numbers, reads

METHODS = parse_methods("similarity, clip_surgery(depth=1)")


@pytest.fixture(scope="module")
def explainer():
    return load_tiny()


@pytest.fixture(scope="module")
def alone(explainer):
    return evaluate(explainer, Squares(12, bad=[5]), METHODS, part_size=2)


@pytest.fixture(autouse=True)
def _nobody_is_left():
    yield
    assert not multiprocessing.active_children()


def press(images):
    raise KeyboardInterrupt


def together(explainer, dataset, **settings):
    given = {"workers": 2, "load": load_tiny, "part_size": 2, **settings}
    return evaluate(explainer, dataset, METHODS, **given)


@pytest.mark.slow
def test_two_processes_with_one_killed_give_the_result_of_one_process(explainer, alone, tmp_path):
    dataset = Squares(12, bad=[5], deadly=8, once=tmp_path / "died", log=tmp_path / "log")
    done = []
    reports = together(explainer, dataset, on_progress=done.append)
    assert (tmp_path / "died").exists()
    read = reads(tmp_path / "log")
    assert read.count(8) == 2
    # What the killed one was doing or had read ahead is read again, and nothing else.
    assert set(read) == set(range(12))
    assert len(read) <= 12 + 4
    assert numbers(reports) == numbers(alone)
    assert done == [2] * 6
    assert reports[0].settings["processes"] == "2"
    assert reports[0].values["ms per image"] > 0


@pytest.mark.slow
def test_a_part_that_ends_every_process_ends_the_run(explainer, tmp_path):
    journal = tmp_path / "journal"
    with pytest.raises(EvaluationInterrupted):
        evaluate(explainer, Squares(4), METHODS, journal=journal, part_size=2, on_progress=press)
    with pytest.raises(WorkerError, match=r"Images 2 to 3 have ended 3 processes.* code -9"):
        together(explainer, Squares(4), journal=journal, load=partial(load_deadly, tmp_path / "x"))
    assert len((tmp_path / "x").read_text()) == ATTEMPTS
    # What was done is kept, and one process that lives ends the work.
    reports = evaluate(explainer, Squares(4), METHODS, journal=journal, part_size=2)
    assert numbers(reports) == numbers(evaluate(explainer, Squares(4), METHODS, part_size=2))


@pytest.mark.slow
def test_ctrl_c_stops_the_workers_and_returns_the_finished_parts(explainer, tmp_path):
    with pytest.raises(EvaluationInterrupted) as raised:
        together(explainer, Squares(40, stuck=30), journal=tmp_path / "j", on_progress=press)
    assert raised.value.reports
    assert not raised.value.reports[0].complete


def test_what_cannot_be_pickled_is_an_error_before_any_process_starts(explainer):
    with pytest.raises(InputError, match="can be sent to a process"):
        together(explainer, Squares(4), load=lambda: explainer)


class OddError(Exception):
    """An error that cannot be made again from its arguments."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


class Failing(Squares):
    def __getitem__(self, index):
        raise OddError("of its", "own")


def worked(explainer, dataset, folder, numbers, load=load_tiny):
    """What a worker says that is told these parts and then left alone; it runs in this process."""
    plan = Plan(dataset=dataset, methods=METHODS, metrics=EXPLANATION_METRICS, part_size=2)
    measuring = Evaluator(plan=plan, explainer=explainer, texts=explainer.encode(plan.texts))
    journal = Journal.open(folder, {}, part_size=2)
    weights = fingerprint(explainer.backbone.model)
    task = Task.of(measuring, journal, load=load, weights=weights, workers=1)
    near, far = multiprocessing.Pipe()
    answers = []

    def boss():
        with near:
            answers.append(near.recv())
            if answers != [READY]:
                return
            for number in numbers:
                near.send(number)
            while len(answers) <= len(numbers) and not isinstance(answers[-1], Exception):
                answers.append(near.recv())

    thread = threading.Thread(target=boss)
    thread.start()
    before = signal.getsignal(signal.SIGINT)
    try:
        work(far, pickle.dumps(task))
    finally:
        signal.signal(signal.SIGINT, before)
        far.close()
        thread.join()
    return answers, [
        stored_result(measuring, journal, number) for number in range(len(plan.parts()))
    ]


def test_a_worker_evaluates_the_parts_it_is_given(explainer, tmp_path):
    answers, kept = worked(explainer, Squares(7, bad=[3]), tmp_path, [3, 1])
    assert answers == [READY, 3, 1]
    assert [part and part.images for part in kept] == [None, 1, None, 1]
    assert list(kept[1].failures) == [3]


def test_what_a_worker_raises_comes_back_with_its_place(explainer, tmp_path):
    answers, kept = worked(explainer, Failing(4), tmp_path, [0])
    assert answers[0] == READY
    assert str(answers[1]) == "OddError: of its own"
    assert "in __getitem__" in answers[1].__notes__[0]
    assert kept == [None, None]


def test_another_model_than_the_one_measured_is_refused(explainer, tmp_path):
    answers, _ = worked(explainer, Squares(4), tmp_path, [0], load=partial(load_tiny, seed=1))
    assert isinstance(answers[0], InputError)
    assert "but it gave weights" in str(answers[0])


def test_threads_prefetch_in_order_and_their_errors_are_raised():
    def read(index):
        if index == 4:
            raise ZeroDivisionError(index)
        return index * index

    with Prefetcher(read) as ahead:
        ahead.add(range(3))
        ahead.add(range(3, 6))
        assert len(ahead) == 2
        assert ahead.take() == [0, 1, 4]
        with pytest.raises(ZeroDivisionError):
            ahead.take()


def test_prefetching_ends_with_the_block():
    before = threading.active_count()
    with Prefetcher(lambda index: index) as ahead:
        ahead.add(range(100))
    assert threading.active_count() == before
