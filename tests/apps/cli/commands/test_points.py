import json
from pathlib import Path

import numpy as np
import pytest

from clip_surgery.apps.cli.commands.demo import read_scene
from clip_surgery.apps.cli.shared.text_groups import split_objects, texts_of
from clip_surgery.errors import InputError

SCENE = read_scene()
FIRST, SECOND, THIRD = SCENE.objects[:3]


def objects():
    return json.loads(Path("out/scene.points.json").read_text())["objects"]


def test_texts_joined_by_plus_are_one_object():
    assert split_objects(["person + bench", "dog"]) == [("person", "bench"), ("dog",)]
    assert texts_of([("a", "b"), ("b", "c")]) == ("a", "b", "c")


@pytest.mark.parametrize("text", ["+dog", "dog+", "a++b", "+", "dog+dog"])
def test_bad_objects(text):
    with pytest.raises(InputError, match="Expected"):
        split_objects([text])


def test_points_lie_on_their_objects(cli, scene):
    done = cli("points", scene, FIRST, f"{SECOND}+{THIRD}", SECOND)
    assert done.code == 0, done.err
    one, both, second = objects()
    assert both["texts"] == [SECOND, THIRD]
    hits = []
    for record in (one, both, second):
        assert len(record["points"]) == len(record["labels"])
        values = {SCENE.objects.index(name) + 1 for name in record["texts"]}
        xy = np.array(record["points"])[np.array(record["labels"]) == 1].astype(int)
        hits += [int(SCENE.mask[y, x]) in values for x, y in xy]
    assert np.mean(hits) >= 0.75


def test_the_published_rule(cli, scene):
    assert cli("points", scene, FIRST, SECOND, "--mode", "reference").code == 0
    labels = objects()[0]["labels"]
    assert labels.count(1) == labels.count(0) > 0


def test_counts_and_boxes(cli, scene):
    done = cli("points", scene, FIRST, SECOND, "--positives", 1, "--negatives", 0, "--boxes")
    assert done.code == 0, done.err
    for record, text in zip(objects(), (FIRST, SECOND), strict=True):
        assert record["labels"] == [1]
        assert record["boxes"][0]["text"] == text
        left, top, right, bottom = record["boxes"][0]["xyxy"]
        x, y = record["points"][0]
        assert left <= x <= right
        assert top <= y <= bottom


def test_an_absent_object_gets_no_points(cli, scene):
    done = cli("points", scene, FIRST, SCENE.absent, "--min-presence", 0.5)
    assert done.code == 0, done.err
    present, absent = objects()
    assert 1 in present["labels"]
    assert absent["labels"] == []
    assert done.out.splitlines()[2].split()[-1] == "none"
    # 0 asks whether, and lets everything through
    assert cli("points", scene, SCENE.absent, FIRST, "--min-presence", 0).code == 0
    assert 1 in objects()[0]["labels"]


BAD = {
    "plus": (["pig+"], "on both sides of every '+'"),
    "mode": (["pig", "--mode", "best"], "Invalid value for '--mode'"),
    "count": (["pig", "--mode", "reference", "--positives", "2"], "no setting of --mode reference"),
    "presence": (["pig", "--min-presence", "1.5"], "Invalid value for '--min-presence'"),
    "format": (["pig", "--format", "mask"], "Unknown format 'mask'"),
}


@pytest.mark.parametrize(("arguments", "reason"), BAD.values(), ids=BAD)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("points", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
