"""The command `check-method`."""

import json

import pytest

from clip_surgery.apps.cli.shared import run_journal
from clip_surgery.evaluation.trust.run import _Run


@pytest.mark.slow
def test_it_prints_a_table_and_writes_json(cli, home):
    arguments = ["check-method", "scenes", "--count", "2", "--check", "absent", "--check", "flip"]
    done = cli(*arguments, "--templates", "photo", "--out", "values.json")
    assert done.code == 0, done.err
    assert "absent words (lower is better)" in done.out
    values = json.loads((home / "values.json").read_text())
    assert set(values["values"]) == {"similarity", "clip_surgery", "random order"}
    assert values["values"]["clip_surgery"]["flip"]["count"] == 2
    assert cli(*arguments, "--out", "values.json").code == 2
    done = cli(*arguments, "--templates", "photo", "--markdown", "--method", "clip_surgery")
    assert done.out.startswith("| method | absent words")


@pytest.mark.slow
def test_an_interrupted_run_continues_without_being_asked(cli, home, monkeypatch):
    arguments = ["check-method", "scenes", "--count", "3", "--check", "flip"]
    arguments += ["--templates", "photo", "--method", "similarity", "--out", "values.json"]
    measure, measured = _Run.measure, []

    def stop_at_the_last(self, index):
        measured.append(index)
        if index == 2 and measured.count(2) == 1:
            raise KeyboardInterrupt
        return measure(self, index)

    monkeypatch.setattr(_Run, "measure", stop_at_the_last)
    monkeypatch.setattr(run_journal, "source_commit", lambda: None)
    assert cli(*arguments).code == 130
    [journal] = (home / ".cache/checks").iterdir()
    done = cli(*arguments)
    assert done.code == 0, done.err
    assert "going on where a run stopped" in done.err
    assert measured == [0, 1, 2, 2]
    assert not journal.exists()
    whole = json.loads((home / "values.json").read_text())
    assert cli(*arguments, "--overwrite", "--fresh").code == 0
    assert measured == [0, 1, 2, 2, 0, 1, 2]
    assert json.loads((home / "values.json").read_text()) == whole
