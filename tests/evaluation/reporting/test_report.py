"""Reports: saved and loaded in both formats, damaged, partial, and compared."""

import json
import platform
import shutil
import subprocess
from dataclasses import replace

import pytest

from clip_surgery.errors import InputError
from clip_surgery.evaluation.reporting.differences import differences, differences_markdown
from clip_surgery.evaluation.reporting.provenance import describe_machine, source_commit
from clip_surgery.evaluation.reporting.report import (
    Report,
    load_reports,
    markdown_table,
    report_warnings,
    save_reports,
)


def report(row="gem", **fields):
    given = {"values": {"AP": 40.0}, "images": 9, "settings": {"templates": "85"}, **fields}
    return Report(row=row, **given)


def test_everything_comes_back(tmp_path):
    reports = [
        report(values={"AP": 12.345678901234567, "threshold": 0.5}, failures=("a.jpg: bad",)),
        report("b", values={}, images=0, complete=False, commit="abc", machine="Höhle"),
    ]
    save_reports(reports, tmp_path / "r.json")
    assert load_reports(tmp_path / "r.json") == reports
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


def test_file_names_that_are_not_utf_8_are_kept(tmp_path):
    """A file may be named by any bytes; Python writes those that are no text as \udcff."""
    given = report(failures=("H\xf6hle \udcff.jpg: bad",))
    save_reports([given], tmp_path / "r.json")
    assert load_reports(tmp_path / "r.json") == [given]
    assert "H\xf6hle" in (tmp_path / "r.json").read_text(encoding="utf-8")


def test_a_file_of_the_first_version_is_read(tmp_path):
    """What is not in it stays unknown: this machine is not where it was measured."""
    entry = {
        "format": "clip-surgery report 1",
        "row": "gem",
        "values": {"AP": 1.5},
        "images": 3,
        "settings": {"x": "y"},
        "versions": {"python": "3.11.0"},
    }
    (tmp_path / "old.json").write_text(json.dumps([entry]))
    [old] = load_reports(tmp_path / "old.json")
    assert (old.row, old.values, old.versions) == ("gem", {"AP": 1.5}, {"python": "3.11.0"})
    assert (old.failures, old.complete, old.commit, old.machine) == ((), True, None, "")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"format": "other"}, "other"),
        ({"format": None}, "None"),
        ({"values": {"AP": "high"}}, "values"),
        ({"values": {"AP": True}}, "values"),
        ({"values": {"AP": float("nan")}}, "values"),
        ({"values": [1]}, "values"),
        ({"images": -1}, "images"),
        ({"images": "3"}, "images"),
        ({"settings": {"size": 3}}, "settings"),
        ({"failures": "a.jpg"}, "failures"),
        ({"failures": [1]}, "failures"),
        ({"complete": "yes"}, "complete"),
        ({"commit": 3}, "commit"),
        ({"row": None}, "row"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_damaged_report_is_refused_by_name(tmp_path, changes, named):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps([{**report().to_json(), **changes}]))
    with pytest.raises(InputError, match=r"bad\.json") as refused:
        load_reports(path)
    assert named in str(refused.value)


def test_a_missing_field_is_refused(tmp_path):
    entry = report().to_json()
    del entry["machine"]
    (tmp_path / "bad.json").write_text(json.dumps([entry]))
    with pytest.raises(InputError, match="machine"):
        load_reports(tmp_path / "bad.json")


@pytest.mark.parametrize("content", [None, "", "{", "[1]", "[]", "{}", "[" * 200_000, "\xff"])
def test_a_file_that_is_no_report_is_named(tmp_path, content):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"bad\.json"):
        load_reports(path)


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    (tmp_path / "r.json").mkdir()
    with pytest.raises(InputError, match=r"r\.json: cannot be written"):
        save_reports([report()], tmp_path / "r.json")
    with pytest.raises(InputError, match="cannot be written"):
        save_reports([report()], tmp_path / "missing" / "r.json")
    assert [path.name for path in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    "values", [{"AP": float("nan")}, {"AP": float("inf")}, {"AP": "1"}, {"AP": 10**400}]
)
def test_a_report_holds_finite_numbers(values):
    with pytest.raises(InputError, match="values"):
        report(values=values)


def test_the_table_has_a_column_for_every_number():
    table = markdown_table([report(values={"AP": 1.25, "threshold": 0.5}), report("b")])
    assert table.splitlines()[0] == "| method | AP | threshold |"
    assert table.splitlines()[2:] == ["| gem | 1.2 | 0.50 |", "| b | 40.0 | - |"]


def test_partial_reports_have_a_warning():
    assert report_warnings([report(), report("b")]) == []
    few = [f"{number}.jpg: bad" for number in range(7)]
    lost = [report(row, failures=tuple(few), complete=False) for row in ("a", "b")]
    assert report_warnings(lost) == [
        "partial, interrupted after 9 images",
        "7 images left out: 0.jpg: bad; 1.jpg: bad; 2.jpg: bad; 3.jpg: bad; 4.jpg: bad; and 2 more",
    ]
    assert report_warnings([lost[0], report("b")])[0].endswith("images: a")
    assert report_warnings([report(failures=("0.jpg: bad.",))]) == [
        "1 image left out: 0.jpg: bad: gem"
    ]


def test_the_machine_is_described_without_its_name():
    told = describe_machine()
    assert told.startswith(platform.system())
    assert platform.node() not in told.replace(platform.system(), "")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_the_package(tmp_path):
    package = tmp_path / "src" / "clip_surgery"
    package.mkdir(parents=True)
    (package / "a.py").write_text("1\n")
    assert source_commit(package) is None  # no checkout

    def git(*arguments):
        person = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        command = ["git", "-C", str(tmp_path), *person, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    source_commit.cache_clear()
    assert source_commit(package) == git("rev-parse", "HEAD")
    (package / "a.py").write_text("2\n")
    source_commit.cache_clear()
    assert source_commit(package) == git("rev-parse", "HEAD") + "-dirty"
    installed = tmp_path / ".venv" / "site-packages" / "clip_surgery"
    assert source_commit(installed) is None  # an environment inside somebody's checkout
    source_commit.cache_clear()


def test_equal_reports_have_no_differences():
    found = differences([report()], [report()])
    assert found.settings() == []
    assert found.cell("gem", "AP") == "40.0 -> 40.0 (0.0)"
    assert "differs" not in differences_markdown(found)


def test_rows_and_columns_of_both_are_shown():
    before = [report("a", values={"AP": 1.0, "IoU": 2.0}), report("b")]
    after = [report("c", values={"mSC": -3.0}), report("a", values={"AP": 0.5})]
    found = differences(before, after)
    assert found.rows == ("a", "b", "c")
    assert found.columns == ("AP", "IoU", "mSC")
    assert found.cell("a", "AP") == "1.0 -> 0.5 (-0.5)"
    assert found.cell("a", "IoU") == "2.0 -> -"
    assert found.cell("b", "AP") == "40.0 -> -"
    assert found.cell("c", "mSC") == "- -> -3.0"
    assert found.cell("c", "AP") == "-"


def test_every_setting_that_differs_is_listed_once():
    first = report("a", versions={"torch": "2.1"}, commit="old", machine="m")
    others = {
        "versions": {"torch": "2.2", "timm": "1"},
        "commit": None,
        "images": 8,
        "failures": ("x: bad",),
        "complete": False,
    }
    before = [first, replace(first, row="b", settings={"method": "x", "templates": "85"})]
    after = [replace(first, **others), replace(before[1], **others, settings={"method": "y"})]
    settings = differences(before, after).settings()
    listed = {one.name: (one.before, one.after, one.rows) for one in settings}
    both = ("a", "b")
    assert listed == {
        "images": ("9", "8", both),
        "images left out": ("0", "1", both),
        "complete": ("yes", "no", both),
        "version of torch": ("2.1", "2.2", both),
        "version of timm": ("-", "1", both),
        "commit": ("old", "-", both),
        "method": ("x", "y", ("b",)),
        "templates": ("85", "-", ("b",)),
    }
    lines = differences_markdown(differences(before, after)).splitlines()
    assert "- commit: old -> -" in lines
    assert "- method: x -> y (b)" in lines


def test_a_row_that_stands_twice_cannot_be_matched():
    with pytest.raises(InputError, match="second reports have 'gem'"):
        differences([report()], [report(), report()])
