"""`clip-surgery evaluate scenes` as a user runs it, on a few scenes."""

import json

import pytest

from clip_surgery.apps.cli.main import run


def call(*arguments):
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    return stop.value.code


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CLIP_SURGERY_CACHE", str(tmp_path / "cache"))


def test_a_table_and_a_report(tmp_path, capsys):
    code = call(
        "evaluate", "scenes", "--count", "3", "--templates", "photo", "--markdown",
        "--method", "similarity,clip_surgery(depth=8)", "--out", str(tmp_path / "new" / "r.json"),
    )  # fmt: skip
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| method | mSC |")
    assert [line.split(" |")[0] for line in lines[2:]] == [
        "| similarity",
        "| clip_surgery(depth=8)",
    ]
    reports = json.loads((tmp_path / "new" / "r.json").read_text())
    assert [report["pictures"] for report in reports] == [3, 3]
    assert "seed=2000003" in reports[0]["settings"]["dataset"]


def test_a_table_for_the_eye(capsys):
    assert call("evaluate", "scenes", "--count", "1", "--templates", "name") == 0
    assert "pointing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["voc2012x"], "scenes"),
        (["scenes", "--method", "surgery"], "clip_surgery"),
        (["scenes", "--method", "clip_surgery(depth=x)"], "int"),
        (["scenes", "--count", "0"], "count"),
        (["scenes", "--model", "demos"], "demo"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(arguments, message, capsys):
    assert call("evaluate", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
