"""`clip-surgery report` as a user runs it."""

from pathlib import Path

import pytest
from PIL import Image

from clip_surgery.evaluation.reporting.report import Report, save_reports


@pytest.fixture
def files(home):
    """Two files of reports that differ in a number, a setting and a row."""

    def report(row, value, size):
        settings = {
            "dataset": "Scenes(count=3)",
            "backbone": "demo",
            "framing": f"Rule(size={size})",
        }
        return Report(row=row, values={"AP": value}, images=3, settings=settings)

    save_reports([report("gem", 40.0, 96), report("[b]gone", 1.0, 96)], home / "a.json")
    save_reports([report("gem", 42.5, 224)], home / "b.json")
    return home


def test_one_report(cli, files):
    done = cli("report", "a.json")
    assert done.code == 0
    assert "Scenes(count=3), demo" in done.out
    assert "40.0" in done.out
    assert "[b]gone" in done.out
    assert "framing: Rule(size=96)" in done.out
    markdown = cli("report", "a.json", "--markdown").out.splitlines()
    assert markdown[:3] == ["| method | AP |", "|---|---|", "| gem | 40.0 |"]
    assert "- framing: Rule(size=96)" in markdown


def test_names_that_are_not_utf8_are_printed(cli, files):
    """Most terminals accept UTF-8 only, so that undecodable bytes must be escaped."""
    odd = Report(row="gem", values={}, images=1, settings={}, failures=("\udcff.jpg: bad",))
    save_reports([odd], files / "odd.json")
    done = cli("report", "odd.json", "--markdown")
    assert done.code == 0
    assert r"1 image left out: \xff.jpg: bad" in done.out  # escaped as in all messages


def test_two_reports(cli, files):
    done = cli("report", "a.json", "b.json")
    assert done.code == 0
    assert "40.0 -> 42.5 (+2.5)" in done.out
    assert "1.0 -> -" in done.out
    assert "framing: size=96 -> size=224" in done.out
    markdown = cli("report", "a.json", "b.json", "--markdown").out.splitlines()
    assert markdown[:4] == [
        "| method | AP |",
        "|---|---|",
        "| gem | 40.0 -> 42.5 (+2.5) |",
        "| [b]gone | 1.0 -> - |",
    ]
    assert "- framing: size=96 -> size=224" in markdown


def test_a_report_compared_with_itself(cli, files):
    done = cli("report", "a.json", "a.json")
    assert done.code == 0
    assert "nothing else differs" in done.out


@pytest.mark.slow
def test_files_of_one_report(cli, files):
    done = cli("report", "a.json", "--out", "r", "--format", "html", "-f", "md", "-f", "pdf")
    assert done.code == 0, done.err
    html = Path("r/a.report.html").read_text()
    assert "<th scope=row>[b]gone</th>" in html
    assert "width:100.0%" in html
    assert "<li>framing: Rule(size=96)</li>" in html
    text = Path("r/a.report.md").read_text()
    assert "| gem | 40.0 |" in text
    assert "![Numbers as bars](a.report.svg)" in text
    assert b"<svg" in Path("r/a.report.svg").read_bytes()
    assert Path("r/a.report.pdf").read_bytes().startswith(b"%PDF")
    again = cli("report", "a.json", "--out", "r")
    assert again.code == 2
    assert "a.report.html: exists already; --overwrite replaces it." in again.err
    assert cli("report", "a.json", "--out", "r", "--overwrite").code == 0


def test_files_of_two_reports(cli, files):
    done = cli("report", "a.json", "b.json", "--out", "r", "-f", "html", "-f", "png")
    assert done.code == 0, done.err
    html = Path("r/a.b.report.html").read_text()
    assert "40.0 -&gt; 42.5 (+2.5)" in html
    assert html.count("<i class=before") == 2  # one row is missing after
    assert html.count("<i class=after") == 1
    with Image.open("r/a.b.report.png") as drawn:
        assert drawn.width > 300


def test_names_in_files_are_escaped(cli, files):
    odd = Report(row="<script>x", values={"A<b>": -1.0}, images=1, settings={"dataset": "<i>"})
    save_reports([odd], files / "odd.json")
    assert cli("report", "odd.json", "--out", "r").code == 0
    html = Path("r/odd.report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;x" in html
    assert "<h1>&lt;i&gt;</h1>" in html


def test_formats_need_a_folder(cli, files):
    done = cli("report", "a.json", "--format", "html")
    assert done.code == 2
    assert "--out FOLDER" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.json"], "missing.json"),
        (["a.json", "bad.json"], "bad.json"),
        (["a.json", "b.json", "a.json"], "one report or two"),
        (["."], "Expected a file of reports"),
    ],
)
def test_a_bad_file_is_one_line(cli, files, arguments, message):
    (files / "bad.json").write_text('[{"format": "clip-surgery report 2"}]')
    done = cli("report", *arguments)
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
