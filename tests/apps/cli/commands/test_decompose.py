import json
from pathlib import Path

import pytest

from clip_surgery.apps.cli.commands.demo import read_scene


def test_contributions_add_up_to_the_cosine(cli, scene):
    seen = read_scene().objects[0]
    done = cli("decompose", scene, seen, "--head", "5,0", "--head", "6,1")
    assert done.code == 0, done.err
    assert Path("out/scene.decompose.png").stat().st_size
    record = json.loads(Path("out/scene.decompose.json").read_text())
    total = sum(map(sum, record["heads"])) + sum(record["feed_forward"])
    total += record["embedding"] + record["pool"] + record["rest"]
    assert total == pytest.approx(record["cosine"], abs=1e-4)
    assert [(one["block"], one["head"]) for one in record["head_maps"]] == [(5, 0), (6, 1)]
    for one in record["head_maps"]:
        assert one["score"] == record["heads"][one["block"]][one["head"]]
        assert sum(map(sum, one["patches"])) == pytest.approx(one["score"], abs=0.05)


def test_the_attention_of_the_class_token_and_of_a_point(cli, scene):
    done = cli("attention", scene)
    assert done.code == 0, done.err
    assert "class token" in done.out
    record = json.loads(Path("out/scene.attention.json").read_text())
    for weights, prefix in zip(record["weights"], record["prefix_weights"], strict=True):
        for head, share in zip(weights, prefix, strict=True):
            assert sum(map(sum, head)) + share == pytest.approx(1, abs=1e-3)
    assert Path("out/scene.attention.png").stat().st_size
    assert cli("attention", scene, "--point", "20,20", "--format", "json").code == 0
    assert json.loads(Path("out/scene.attention.json").read_text())["patch"] is not None


@pytest.mark.parametrize(
    ("command", "arguments", "reason"),
    [
        ("decompose", ["dog", "cat"], "Expected one text, but got 2"),
        ("decompose", ["dog", "--head", "5"], "Expected a head as BLOCK,HEAD, but got '5'."),
        ("decompose", ["dog", "--head", "99,0"], "Expected a block below 8"),
        ("attention", ["dog"], "Expected images only, but got the text 'dog'."),
        ("attention", ["--point", "here"], "Expected a point as X,Y"),
    ],
)
def test_bad_calls(cli, scene, command, arguments, reason):
    done = cli(command, scene, *arguments)
    assert done.code == 2
    assert reason in done.err
