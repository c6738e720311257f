"""Behaviour that all commands on images share."""

import json
from pathlib import Path

import pytest
from PIL import Image

COMMANDS = {
    "points": ["points", "pig", "boat", "--contrast", "text"],
    "segment": ["segment", "pig", "boat"],
    "tag": ["tag", "pig", "boat"],
    "words": ["words", "a pig and a boat"],
    "inspect": ["inspect", "pig", "boat"],
    "compare": ["compare", "pig", "boat", "--methods", "similarity,gem", "--contrast", "text"],
}


@pytest.fixture(params=COMMANDS.values(), ids=COMMANDS)
def command(request):
    return [*request.param, "--format", "png,json"]


def test_images_and_records_of_several_images(cli, scene, home, command):
    with Image.open(scene) as image:
        image.resize((200, 120)).save(home / "wide.jpg")
    done = cli(*command, scene, "wide.jpg", "--out", "a/b")
    assert done.code == 0, done.err
    assert done.err == ""
    names = sorted(path.name for path in Path("a/b").iterdir())
    stems = (f"scene.{command[0]}", f"wide.{command[0]}")
    assert names == [f"{stem}.{kind}" for stem in stems for kind in ("json", "png")]
    assert "wrote 4 files to a/b/" in done.out
    for path in Path("a/b").glob("*.png"):
        with Image.open(path) as drawn:
            assert min(drawn.size) > 200
    assert "wide.jpg" in Path(f"a/b/wide.{command[0]}.json").read_text()


def test_bad_images_are_reported_and_skipped(cli, scene, home, command):
    (home / "bad.jpg").write_bytes(b"not an image")
    done = cli(*command, "bad.jpg", scene, "missing.jpg")
    assert done.code == 1
    names = sorted(path.name for path in Path("out").iterdir())
    assert names == [f"scene.{command[0]}.json", f"scene.{command[0]}.png"]
    lines = done.err.strip().splitlines()
    assert lines == [
        "error: missing.jpg: no such file.",
        "error: bad.jpg: not an image in a format that Pillow reads.",
    ]
    assert "skipped 2" in done.out


def test_no_image_that_can_be_used(cli, home, command):
    (home / "bad.jpg").write_bytes(b"not an image")
    done = cli(*command, "bad.jpg")
    assert done.code == 2
    assert done.out == ""
    assert done.err.count("\n") == 1


def test_results_never_replace_an_image(cli, scene, command):
    before = scene.read_bytes()
    assert cli(*command, "scene.png", "--out", ".").code == 0
    assert scene.read_bytes() == before
    assert Path(f"scene.{command[0]}.png").is_file()


def test_very_small_images(cli, home, command):
    Image.new("RGB", (30, 5), (9, 99, 200)).save(home / "strip.png")
    Image.new("RGB", (1, 1), (9, 99, 200)).save(home / "dot.png")
    done = cli(*command, "strip.png", "dot.png")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--format", "gif"], "Unknown format 'gif'"),
        (["--model", "dem"], "Unknown model 'dem'"),
        (["--out", "scene.png"], "cannot be the folder"),
        (["--device", "abacus"], "abacus"),
        (["--size", "0"], "Invalid value for '--size'"),
    ],
)
def test_wrong_usage_is_one_line(cli, scene, command, arguments, reason):
    done = cli(*command, scene, *arguments)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


def test_several_images(cli, command):
    pictures = [Path(f"{number}.jpg") for number in range(2)]
    for number, path in enumerate(pictures):
        noise = Image.effect_noise((160 + 40 * number, 120), 60)
        noise.convert("RGB").save(path)
    done = cli(*command, *pictures)
    assert done.code == 0, done.err
    assert len(list(Path("out").iterdir())) == 4
    for path in Path("out").glob("*.json"):
        json.loads(path.read_text())
