import json
from pathlib import Path

import pytest

from clip_surgery.apps.cli.commands.demo import read_scene

SCENE = read_scene()
FIRST, SECOND = SCENE.objects[:2]


def found():
    return json.loads(Path("out/scene.tag.json").read_text())["tags"]


@pytest.mark.slow
def test_without_texts_common_words_are_tried(cli, scene):
    done = cli("tag", scene)
    assert done.code == 0, done.err
    texts = [tag["text"] for tag in found()]
    assert len(texts) == 10
    assert len(set(texts[:5]) & set(SCENE.objects)) >= 3


@pytest.mark.parametrize("score", ["surgery", "softmax", "presence", "cosine"])
def test_scores_fall_and_an_absent_object_comes_last(cli, scene, score):
    done = cli("tag", scene, SCENE.absent, FIRST, SECOND, "--score", score)
    assert done.code == 0, done.err
    scores = [tag["score"] for tag in found()]
    assert scores == sorted(scores, reverse=True)
    assert found()[-1]["text"] == SCENE.absent


def test_what_is_left_out(cli, scene):
    cli("tag", scene, SCENE.absent, FIRST, SECOND, "--top", 1)
    assert len(found()) == 1
    cli("tag", scene, SCENE.absent, FIRST, SECOND, "--min-presence", 0.5)
    assert {tag["text"] for tag in found()} == {FIRST, SECOND}
    done = cli("tag", scene, SCENE.absent, FIRST, "--score", "cosine", "--threshold", 0.99)
    assert done.code == 0
    assert found() == []


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--top", "0"], "Invalid value for '--top'"),
        (["--score", "best"], "Invalid value for '--score'"),
        (["--min-presence", "-1"], "Invalid value for '--min-presence'"),
        (["pig", "pig"], "Expected each text once"),
    ],
)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("tag", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
