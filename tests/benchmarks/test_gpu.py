"""The GPU benchmark runs on a CPU with a tiny model, and its parts do what the table says."""

import importlib
import json
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"
pytestmark = pytest.mark.slow


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module("gpu")
    torch.compiler.reset()


def quick(gpu, *arguments):
    gpu.main(["--device", "cpu", "--quick", *map(str, arguments)])


def test_it_runs_and_resumes(gpu, tmp_path, capsys):
    out = tmp_path / "gpu.json"
    quick(gpu, "--modes", "eager", "--budget", 0, "--out", out)
    assert "8 cells left when the budget" in capsys.readouterr().out
    quick(gpu, "--modes", "eager", "--out", out)
    rows = json.loads(out.read_text())["rows"]
    assert len(rows) == 8
    assert {(row["px"], row["batch"]) for row in rows} == {(32, 1), (32, 3), (64, 1), (64, 3)}
    assert all(row["two_ms"] > 0 and row["two_by_plain"] > 0 for row in rows)
    assert all(row["differ"] < 1e-4 for row in rows if row["type"] == "fp32")
    table = capsys.readouterr().out
    heads, rules, *lines = [line for line in table.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in (heads, rules, *lines)} == {16}
    quick(gpu, "--resume", out, "--out", out, "--sizes", 32, "--types", "bf16")
    rows = json.loads(out.read_text())["rows"]
    assert [row["mode"] for row in rows] == ["eager"] * 8 + ["compiled"] * 2
    assert "bf16 compiled at least 4 times" in capsys.readouterr().out


def test_what_does_not_fit_is_told_and_larger_batches_skipped(gpu, monkeypatch, capsys):
    batches = []

    def too_much(calls, options):
        batches.append(len(calls["two"].args[0]))
        raise torch.OutOfMemoryError

    monkeypatch.setattr(gpu, "timed", too_much)
    quick(gpu, "--modes", "eager")
    assert batches == [1] * 4
    lines = [line for line in capsys.readouterr().out.splitlines() if "out of memory" in line]
    assert len(lines) == 8
    assert {line.count("|") for line in lines} == {16}


def test_without_a_gpu_it_says_so(gpu, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    gpu.main([])
    assert "No GPU here" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [("--models", "Q"), ("--types", "int8"), ("--modes", "fast")])
def test_wrong_options(gpu, wrong, capsys):
    with pytest.raises(SystemExit):
        gpu.main([*wrong])
    assert "expected" in capsys.readouterr().err
