"""File names and texts with invalid bytes or control characters, in every command."""

import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

from clip_surgery.evaluation.reporting.report import Report, save_reports

COMMANDS = {
    "explain": ["dog"],
    "compare": ["dog", "--methods", "similarity"],
    "points": ["dog"],
    "segment": ["dog", "cat"],
    "tag": ["--text", "dog"],
    "words": ["a photo of a dog"],
    "match": ["a dog", "--rival", "a cat"],
    "search": ["a dog", "--why"],
    "inspect": ["dog"],
    "attention": [],
    "decompose": ["dog"],
}
ESCAPE = "\x1b]0;owned\x07\x1b[31m"

CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\r\u202e"
ALL_COMMANDS = {
    "demo": ["--out", f"out{HOSTILE}"],
    "explain": [f"red{HOSTILE}.png", f"dog{HOSTILE}", "cat"],
    "compare": [f"red{HOSTILE}.png", f"dog{HOSTILE}", "--methods", "similarity"],
    "points": [f"red{HOSTILE}.png", f"dog{HOSTILE}", "--out", f"out{HOSTILE}"],
    "masks": [f"red{HOSTILE}.png", "dog", "--segmenter", f"sam{HOSTILE}"],
    "segment": [f"red{HOSTILE}.png", f"dog{HOSTILE}", "cat"],
    "tag": [f"red{HOSTILE}.png", "--text", f"dog{HOSTILE}"],
    "words": [f"red{HOSTILE}.png", f"a photo{HOSTILE} of a dog"],
    "interactions": [f"bad{HOSTILE}.png", f"a dog{HOSTILE}"],
    "match": [f"red{HOSTILE}.png", f"dog{HOSTILE}", "--rival", f"cat{HOSTILE}"],
    "search": [f"red{HOSTILE}.png", f"dog{HOSTILE}", "--why"],
    "inspect": [f"red{HOSTILE}.png", f"dog{HOSTILE}"],
    "attention": [f"red{HOSTILE}.png", f"bad{HOSTILE}.png"],
    "decompose": [f"red{HOSTILE}.png", f"dog{HOSTILE}"],
    "batch": [f"missing{HOSTILE}.png", "--text", f"dog{HOSTILE}", "--out", f"rows{HOSTILE}"],
    "audit": [".", "--labels", f"labels{HOSTILE}", "--out", f"out{HOSTILE}"],
    "calibrate": ["folder", "--root", f"truth{HOSTILE}", "--model", "demo"],
    "check-method": ["folder", "--root", f"truth{HOSTILE}", "--method", f"gem{HOSTILE}"],
    "evaluate": ["folder", "--root", f"truth{HOSTILE}", "--count", "1"],
    "report": [f"report{HOSTILE}.json"],
    "export": ["--method", "rollout", "--labels", f"labels{HOSTILE}", "--out", f"b{HOSTILE}"],
    "models": [f"model{HOSTILE}"],
    "methods": [f"extra{HOSTILE}"],
    "page": ["--model", f"model{HOSTILE}"],
}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX")


def save_image(name):
    with open(name, "wb") as file:
        Image.new("RGB", (40, 30), (90, 160, 60)).save(file, "PNG")


def image_of(record):
    return record["image"] if "image" in record else record["methods"]["similarity"]["image"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_name_that_is_not_utf8_gives_results(cli, home, command):
    save_image(os.fsencode(home) + b"/caf\xe9.png")
    save_image(home / "plain.png")
    done = cli(command, home, *COMMANDS[command], "--format", "json")
    assert done.code == 0, done.err
    records = [json.loads(path.read_text("utf-8")) for path in Path("out").iterdir()]
    images = [image_of(record) for record in records]
    assert sorted(Path(image).name for image in images) == [r"caf\xe9.png", "plain.png"]
    assert all(path.stat().st_size for path in Path("out").iterdir())


@pytest.mark.parametrize("command", ["explain", "points", "tag"])
def test_control_characters_do_not_reach_the_terminal(cli, home, command):
    save_image(home / f"red{ESCAPE}.png")
    (home / f"bad{ESCAPE}.png").write_bytes(b"not an image")
    missing = f"missing{ESCAPE}.png"
    done = cli(command, home, missing, *COMMANDS[command])
    assert done.code == 1
    assert r"red\x1b]0;owned\x07\x1b[31m.png" in done.out
    assert r"bad\x1b" in done.err
    assert r"missing\x1b" in done.err
    assert "\x1b" not in done.out + done.err
    assert "\x07" not in done.out + done.err


def test_control_characters_in_texts_do_not_reach_the_terminal(cli, scene):
    done = cli("explain", scene, f"dog{ESCAPE}", "cat")
    assert "\x1b" not in done.out + done.err
    done = cli("explain", scene, "dog", "--method", f"gem{ESCAPE}")
    assert done.code == 2
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_no_command_prints_control_characters(cli, home, command, monkeypatch):
    save_image(home / f"red{HOSTILE}.png")
    (home / f"bad{HOSTILE}.png").write_bytes(b"not an image")
    (home / f"labels{HOSTILE}").write_text(f"dog{HOSTILE}\n".replace("\r", ""))
    hostile_report = Report(
        row=f"gem{HOSTILE}",
        values={f"mIoU{HOSTILE}": 1.0},
        images=1,
        settings={"dataset": f"set{HOSTILE}", "backbone": f"demo{HOSTILE}"},
        failures=(f"red{HOSTILE}.png: damaged",),
    )
    save_reports([hostile_report], home / f"report{HOSTILE}.json")
    done = cli(command, *ALL_COMMANDS[command])
    assert not CONTROLS.findall(done.out + done.err)
    assert (done.out + done.err).strip()
    if command == "report":
        for arguments in (["--markdown"], [f"report{HOSTILE}.json"]):
            done = cli(command, *ALL_COMMANDS[command], *arguments)
            assert not CONTROLS.findall(done.out + done.err)


def test_what_other_libraries_print_is_escaped(cli, home, monkeypatch):
    def print_and_fail(*_):
        sys.stdout.write(f"printed{HOSTILE}\n")
        logging.getLogger("other").error("logged %s", HOSTILE)
        warnings.warn(f"warned{HOSTILE}", stacklevel=1)
        raise RuntimeError(f"raised{HOSTILE}")

    monkeypatch.setattr("clip_surgery.apps.cli.shared.request.sort_arguments", print_and_fail)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        done = cli("explain", "a.png", "dog", "--debug")
    assert done.out.startswith(r"printed\x1b]0;owned\x07")
    assert r"warned\x1b" in done.err
    assert r"raised\x1b" in done.err
    assert not CONTROLS.findall(done.out + done.err)


def test_only_colours_of_our_own_are_printed_to_a_terminal(cli, home, monkeypatch):
    save_image(home / f"red{HOSTILE}.png")
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = cli("explain", f"red{HOSTILE}.png", "missing.png", f"dog{HOSTILE}", "cat", "--quiet")
    assert "\x1b[1;31merror: " in done.err  # bold red
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", done.out + done.err)
    assert not CONTROLS.findall(without_colours)
    assert r"dog\x1b]0;owned\x07\x1b[31m" in without_colours
    assert "\x1b[" in cli("explain", "--help").out


def test_results_of_two_commands_do_not_replace_each_other(cli, scene):
    assert cli("explain", scene, "dog", "cat").code == 0
    before = Path("out/scene.explain.png").read_bytes()
    assert cli("compare", scene, "dog", "--methods", "similarity").code == 0
    assert cli("segment", scene, "dog", "cat").code == 0
    assert Path("out/scene.explain.png").read_bytes() == before
    names = {path.name for path in Path("out").iterdir()}
    assert {"scene.explain.png", "scene.compare.png", "scene.segment.png"} <= names


def test_huge_files_pipes_and_devices_are_skipped_and_the_others_done(cli, scene, home):
    with (home / "sparse.png").open("wb") as file:
        file.truncate(100 * 2**30)
    os.mkfifo(home / "pipe.png")
    done = cli(
        "explain", home / "sparse.png", home / "pipe.png", "/dev/zero", scene, "dog", "-f", "png"
    )
    assert done.code == 1
    assert "sparse.png: larger than the limit of 256 MiB" in done.err
    assert "pipe.png: expected a regular file" in done.err
    assert "/dev/zero: expected a regular file" in done.err
    assert [path.name for path in Path("out").iterdir()] == ["scene.explain.png"]


def test_no_unfinished_file_is_left_when_the_disk_is_full(cli, scene, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clip_surgery.storage.atomic_file.os.replace", full)
    done = cli("explain", scene, "dog", "--format", "json,png", "--no-cache")
    assert done.code == 2
    assert "cannot be written (No space left on device)" in done.err
    assert list(Path("out").iterdir()) == []
