"""Methods and data sets of the user, named by module and class on the command line."""

import json
import os
from pathlib import Path

import pytest

METHOD = """
from dataclasses import dataclass, replace

from clip_surgery import Evidence
from clip_surgery.methods.similarity import Similarity


@dataclass(frozen=True, kw_only=True)
class Brighter(Similarity):
    name = "brighter"
    paper = "none"

    factor: float = 2.0

    def __call__(self, backbone, pixels, texts) -> Evidence:
        evidence = super().__call__(backbone, pixels, texts)
        return replace(evidence, patches=self.factor * evidence.patches)


class NoMethod:
    pass
"""


@pytest.fixture
def module(home):
    """A module in the working folder."""
    (home / "my_methods.py").write_text(METHOD)
    return "my_methods"


def peak_scores(name):
    record = json.loads(Path(f"out/scene.{name}.json").read_text())
    parts = record.get("methods", {"": record})
    return {
        method: [text["peak"]["score"] for text in part["texts"]] for method, part in parts.items()
    }


@pytest.mark.slow
def test_a_method_in_a_module_of_the_working_folder(shell, scene, module):
    method = f"{module}:Brighter(factor=3)"
    common = ["--format", "json", "--model", "demo", "--templates", "name"]
    done = shell("explain", scene, "pig", "boat", "--method", method, *common)
    assert done.code == 0, done.err
    assert "Brighter(" in json.loads(Path("out/scene.explain.json").read_text())["method"]
    done = shell("compare", scene, "pig", "--methods", f"similarity,{method}", *common)
    assert done.code == 0, done.err
    scores = peak_scores("compare")
    assert scores[method] == pytest.approx([3 * score for score in scores["similarity"]], rel=1e-3)


@pytest.mark.slow
def test_a_method_in_an_installed_module_is_evaluated(shell, home, module):
    folder = home / "installed"
    folder.mkdir()
    os.rename(home / "my_methods.py", folder / "my_methods.py")
    done = shell(
        *("evaluate", "scenes", "--count", 1, "--method", f"similarity,{module}:Brighter"),
        *("--templates", "name", "--size", 96),
        extra_env={"PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )
    assert done.code == 0, done.err
    assert f"{module}:Brighter" in done.out


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("no_such_module:Method", "no_such_module:Method: cannot be imported"),
        ("my_methods:Missing", "my_methods:Missing: cannot be imported"),
        ("my_methods:NoMethod", "expected a method class"),
        ("my_methods:Brighter(factor=high)", "Expected factor to be a float"),
    ],
)
def test_a_method_that_cannot_be_used_is_one_line(cli, scene, module, method, reason, monkeypatch):
    monkeypatch.syspath_prepend(".")
    done = cli("explain", scene, "pig", "--method", method)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
