"""The examples of the documentation run as they are written, offline, in a folder of their own."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "docs/examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip(), f"{path.name} shows nothing"


def test_there_are_examples():
    assert len(EXAMPLES) >= 7


def test_an_example_is_a_script():
    """One of them as a reader would start it."""
    done = subprocess.run(
        [sys.executable, EXAMPLES[0]],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        cwd=EXAMPLES[0].parent,
    )
    assert done.returncode == 0, done.stderr
