import json
from pathlib import Path

import pytest

from clip_surgery.apps.cli.commands.demo import read_scene


def test_a_match_with_a_rival_adds_up(cli, scene):
    seen, absent = read_scene().objects[0], read_scene().absent
    done = cli("match", scene, f"a {seen}", "--rival", f"a {absent}")
    assert done.code == 0, done.err
    assert "difference" in done.out
    assert Path("out/scene.match.png").stat().st_size
    record = json.loads(Path("out/scene.match.json").read_text())
    assert [word["text"] for word in record["words"]] == ["a", seen]
    for name in ("similarity", "rival_similarity", "margin"):
        parts = record[name]
        total = sum(map(sum, parts["patches"])) + parts["rest"]
        assert total == pytest.approx(parts["total"], abs=1e-3)
    margin = record["similarity"]["total"] - record["rival_similarity"]["total"]
    assert record["margin"]["total"] == pytest.approx(margin, abs=1e-5)
    assert margin > 0


def test_two_images(cli, scene):
    done = cli("match", scene, "--like", scene, "--top", 2, "--format", "json,html,png")
    assert done.code == 0, done.err
    record = json.loads(Path("out/scene.match.json").read_text())
    assert record["similarity"]["total"] == pytest.approx(1, abs=1e-4)
    assert len(record["pairs"]) == 2
    assert "<article" in Path("out/match.html").read_text()


def test_an_image_instead_of_the_rival(cli, scene):
    done = cli("match", scene, "--like", scene, "--rival-image", scene, "--format", "json,png")
    assert done.code == 0, done.err
    record = json.loads(Path("out/scene.match.json").read_text())
    assert record["margin"]["total"] == pytest.approx(0, abs=1e-5)
    assert record["rival"] == record["query"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["dog", "cat"], "Expected one text (in quotes), or --like, but got 2 texts."),
        (["dog", "--like", "scene.png"], "but got 1 texts and --like."),
        (["dog", "--phrase", "cat"], "Expected phrases that occur in a text"),
        (["--like", "missing.png"], "missing.png"),
        (["dog", "--rival-image", "missing.png"], "missing.png"),
        (["dog", "--rival", "cat", "--rival-image", "scene.png"], "but got both"),
    ],
)
def test_bad_calls(cli, scene, arguments, reason):
    done = cli("match", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
