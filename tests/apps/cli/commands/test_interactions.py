import json
from pathlib import Path

import numpy as np
import pytest

from clip_surgery.apps.cli.commands.demo import read_scene


@pytest.mark.slow  # hundreds of forwards
def test_words_and_regions(cli, scene):
    seen = read_scene().objects[0]
    call = ("interactions", scene, f"a {seen}", "--regions", 2, "--masks", 16, "--batch-size", 32)
    done = cli(*call)
    assert done.code == 0, done.err
    assert Path("out/scene.interactions.png").stat().st_size
    record = json.loads(Path("out/scene.interactions.json").read_text())
    assert [word["text"] for word in record["words"]] == ["a", seen]
    for word in record["words"]:
        assert np.shape(word["regions"]) == (2, 2)
    assert np.shape(record["regions"]) == (2, 2)
    assert record["fit"] <= 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a dog", "a cat"], "Expected one sentence, but got 2 texts"),
        (["a dog", "--masks", "4", "--regions", "2"], "more masks than the 4 regions"),
        (["a dog", "--phrase", "cat"], "phrases that occur"),
    ],
)
def test_bad_calls(cli, scene, arguments, reason):
    done = cli("interactions", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
