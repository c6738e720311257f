import json
from pathlib import Path

import pytest
from PIL import Image


def record():
    return json.loads(Path("out/scene.inspect.json").read_text())


def test_attention_of_a_point_and_what_texts_share(cli, scene):
    done = cli("inspect", scene, "pig", "koala", "--point", "220, 100")
    assert done.code == 0, done.err
    found = record()
    assert found["point"] == [220, 100]
    assert [one["kind"] for one in found["attention"]] == ["q-k", "v-v"]
    for one in found["attention"]:
        assert one["patch"] == [4, 9]  # 288 px on 12 patches
        assert sum(map(sum, one["weights"])) <= 1.001
    assert set(found["explained_by_empty_text"]) == {"pig", "koala"}
    assert all(0 <= share <= 1 for share in found["explained_by_empty_text"].values())


def test_the_centre_other_kinds_and_blocks(cli, scene):
    assert cli("inspect", scene, "pig", "--kinds", "k-k", "--block", 0).code == 0
    assert record()["point"] == [144, 144]
    assert [one["kind"] for one in record()["attention"]] == ["k-k"]


def test_a_point_outside_one_of_the_images(cli, scene, home):
    Image.new("RGB", (50, 50)).save(home / "small.png")
    done = cli("inspect", scene, "small.png", "pig", "--point", "220,100")
    assert done.code == 1
    assert done.err == (
        "error: small.png: expected a point within 50 x 50 px (x, y), but got (220.0, 100.0).\n"
    )
    assert not Path("out/small.inspect.png").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "No text to look for"),
        (["pig", "--point", "12"], "Expected a point as X,Y in pixels, but got '12'"),
        (["pig", "--point", "a,b"], "Expected a point"),
        (["pig", "--point", "nan,5"], "nan"),
        (["pig", "--point=-1,5"], "expected a point within"),
        (["pig", "--kinds", "q-k,v"], "Unknown kind of attention 'v'"),
        (["pig", "--kinds", ""], "Unknown kind of attention ''"),
        (["pig", "--block", "99"], "Expected a block"),
    ],
)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("inspect", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
