"""The profile of an evaluation counts every second once, under the right name."""

import argparse
import importlib
from contextlib import ExitStack
from pathlib import Path

import pytest

from clip_surgery.evaluation.protocols.registry import protocol_named
from tests.evaluation.squares import load_tiny

FOLDER = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture
def harness(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("harness")


def test_the_time_of_an_evaluation_is_split_into_steps(harness, tmp_path, capsys):
    dataset = harness.Photographs(tmp_path, 2)
    assert dataset[1].present
    protocol = protocol_named("paper_explainability").changed(size=32)
    options = argparse.Namespace(method="clip_surgery", journal=True)
    spent = harness.profile(load_tiny(), dataset, protocol, options)
    named = {f"metric {name}" for name in protocol.metrics}
    assert named | {
        harness.FORWARD,
        harness.LOADING,
        "states to bytes",
        "inputs of metrics",
    } <= set(spent)
    harness.print_table("photographs", spent, 2)
    table = capsys.readouterr().out
    rest = sum(spent.values()) - spent[harness.FORWARD]
    assert f"**{100 * rest / spent[harness.FORWARD]:.1f}**" in table


def test_a_watched_call_within_another_is_not_counted_twice(harness, monkeypatch):
    now = iter([0, 1, 11, 111, 112])
    monkeypatch.setattr(harness.time, "thread_time", lambda: next(now))

    class Model:
        def run(self):
            return "seen"

    clock = harness.Clock()
    original = Model.run
    with ExitStack() as stack:
        clock.watch(stack, Model, "run", "forward")
        with clock.of("bookkeeping"):
            assert Model().run() == "seen"
    assert clock.spent == {"bookkeeping": 11, "forward": 100}
    assert Model.run is original
