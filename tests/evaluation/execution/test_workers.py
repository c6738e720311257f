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
from clip_surgery.evaluation.execution.worker import MAX_DEATHS_PER_PART, WorkerLoader
from clip_surgery.methods.registry import parse_methods
from clip_surgery.processes.worker_pool import WorkerError
from clip_surgery.processes.worker_process import serve
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
    journal, log = tmp_path / "journal", tmp_path / "log"
    with pytest.raises(EvaluationInterrupted):
        evaluate(explainer, Squares(4), METHODS, journal=journal, part_size=2, on_progress=press)
    with pytest.raises(WorkerError, match=r"images 2 to 3 ended 3 worker processes.* code -9"):
        together(explainer, Squares(4, deadly=2, log=log), journal=journal)
    assert reads(log).count(2) == MAX_DEATHS_PER_PART
    # The finished part is kept, and a process that survives completes the evaluation.
    reports = evaluate(explainer, Squares(4), METHODS, journal=journal, part_size=2)
    assert numbers(reports) == numbers(evaluate(explainer, Squares(4), METHODS, part_size=2))


@pytest.mark.slow
def test_a_model_that_ends_every_process_ends_the_run(explainer, tmp_path):
    with pytest.raises(WorkerError, match=r"3 worker processes died before .* code -9"):
        together(explainer, Squares(2), load=partial(load_deadly, tmp_path / "log"))
    assert len((tmp_path / "log").read_text()) == 3


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_hands_out_what_is_done(explainer, tmp_path):
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


def run_worker(explainer, dataset, folder, numbers, load=load_tiny):
    """The messages of a worker that is sent these parts; it runs in this process."""
    plan = Plan(dataset=dataset, methods=METHODS, metrics=EXPLANATION_METRICS, part_size=2)
    evaluator = Evaluator(plan=plan, explainer=explainer, texts=explainer.encode(plan.texts))
    journal = Journal.open(folder, {}, part_size=2)
    weights = fingerprint(explainer.backbone.model)
    loader = WorkerLoader.of(evaluator, journal, load=load, weights=weights, workers=1)
    near, far = multiprocessing.Pipe()
    messages = []

    def pool():
        with near:
            messages.append(near.recv())
            if hasattr(messages[0], "error"):
                return
            for number in numbers:
                near.send(number)
            while len(messages) <= len(numbers) and not hasattr(messages[-1], "error"):
                messages.append(near.recv())

    thread = threading.Thread(target=pool)
    thread.start()
    before = signal.getsignal(signal.SIGINT)
    try:
        serve(far, pickle.dumps(loader))
    finally:
        signal.signal(signal.SIGINT, before)
        far.close()
        thread.join()
    parts = range(len(plan.parts()))
    return messages, [stored_result(evaluator, journal, number) for number in parts]


def test_a_worker_evaluates_the_parts_it_is_sent(explainer, tmp_path):
    messages, kept = run_worker(explainer, Squares(7, bad=[3]), tmp_path, [3, 1])
    assert [message.result for message in messages[1:]] == [3, 1]
    assert [part and part.images for part in kept] == [None, 1, None, 1]
    assert list(kept[1].failures) == [3]


def test_an_exception_of_a_worker_comes_back_with_its_traceback(explainer, tmp_path):
    messages, kept = run_worker(explainer, Failing(4), tmp_path, [0])
    assert str(messages[1].error) == "OddError: of its own"
    assert "in __getitem__" in messages[1].error.__notes__[0]
    assert kept == [None, None]


def test_a_worker_refuses_a_model_with_other_weights(explainer, tmp_path):
    load = partial(load_tiny, seed=1)
    messages, _ = run_worker(explainer, Squares(4), tmp_path, [0], load=load)
    assert isinstance(messages[0].error, InputError)
    assert "but it gave weights" in str(messages[0].error)


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
