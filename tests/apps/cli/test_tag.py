import json
from pathlib import Path

import pytest

from clip_surgery.apps.cli.demo import read_scene


def found():
    return json.loads(Path("out/scene.json").read_text())["tags"]


def test_without_texts_common_words_are_tried(cli, scene):
    done = cli("tag", scene)
    assert done.code == 0, done.err
    texts = [tag["text"] for tag in found()]
    assert len(texts) == 10
    assert set(texts[:4]) == set(read_scene().objects)


@pytest.mark.parametrize("score", ["surgery", "softmax", "presence", "cosine"])
def test_scores_fall_and_what_is_absent_comes_last(cli, scene, score):
    done = cli("tag", scene, "pizza", "pig", "turtle", "--score", score)
    assert done.code == 0, done.err
    scores = [tag["score"] for tag in found()]
    assert scores == sorted(scores, reverse=True)
    assert found()[-1]["text"] == "pizza"


def test_what_is_left_out(cli, scene):
    cli("tag", scene, "pizza", "pig", "turtle", "--top", 1)
    assert [tag["text"] for tag in found()] == ["turtle"]
    cli("tag", scene, "pizza", "pig", "turtle", "--min-presence", 0.5)
    assert {tag["text"] for tag in found()} == {"pig", "turtle"}
    done = cli("tag", scene, "pizza", "pig", "--score", "cosine", "--threshold", 0.99)
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
