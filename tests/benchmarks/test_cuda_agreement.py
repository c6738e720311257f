"""The comparison of a GPU with the CPU: a CPU agrees with itself, and a wrong result is found."""

import importlib
import json
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def agreement(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("cuda_agreement")


@pytest.mark.slow
def test_a_cpu_agrees_with_itself(agreement, tmp_path, capsys):
    out = tmp_path / "agreement.json"
    methods = "similarity,grad_cam"
    arguments = ["--device", "cpu", "--quick", "--methods", methods, "--seconds", "600"]
    assert agreement.main([*arguments, "--out", str(out)]) == 0
    checks = json.loads(out.read_text())["checks"]
    exact = [check for check in checks if check["dtype"] == "float32"]
    assert {check["difference"] for check in exact} == {0.0}
    kinds = {check["kind"] for check in checks}
    assert kinds == {"tasks", "methods", "little memory", "batch command"}
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {8}


def test_differences(agreement):
    values = importlib.import_module("agreement_values")
    exact = {"map": torch.tensor([3.0, 4.0]), "mask": torch.tensor([True, False])}
    assert values.difference(exact, exact) == 0
    moved = {**exact, "map": torch.tensor([3.0, 4.5])}
    assert values.difference(moved, exact) == pytest.approx(0.1)
    flipped = {**exact, "mask": torch.tensor([True, True])}
    assert values.difference(flipped, exact) == 0.5
    assert values.difference({**exact, "map": torch.tensor([3.0, float("nan")])}, exact) > 1e9
    assert values.difference({"map": exact["map"]}, exact) > 1e9
    check = values.Check(
        model="demo", dtype="float32", kind="tasks", name="x", difference=0.2, tolerance=1e-4
    )
    assert not check.passed
    assert "FAIL (1)" in agreement.table([check])


def test_without_a_gpu_it_says_so(agreement, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert agreement.main([]) == 2
    assert "No GPU here" in capsys.readouterr().out
