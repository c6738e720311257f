"""File names and texts with invalid bytes or control characters, through the commands."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

COMMANDS = {
    "explain": ["dog"],
    "compare": ["dog", "--methods", "similarity"],
    "points": ["dog"],
    "segment": ["dog", "cat"],
    "tag": ["--text", "dog"],
    "words": ["a photo of a dog"],
    "inspect": ["dog"],
}
ESCAPE = "\x1b]0;owned\x07\x1b[31m"

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
    done = cli("explain", home / "sparse.png", home / "pipe.png", "/dev/zero", scene, "dog")
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
