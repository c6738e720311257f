"""The command `check-method`."""

import json

import pytest


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
