import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_surgery.records.mask_files import decode_rle


def segmentation():
    record = json.loads(Path("out/scene.segment.json").read_text())
    with Image.open("out/scene.segment.mask.png") as image:
        assert image.mode == "P"
        return record, np.array(image)


def test_masks_records_and_images_agree(cli, scene):
    done = cli("segment", scene, "pig", "koala", "turtle,boat")
    assert done.code == 0, done.err
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "scene.segment.json",
        "scene.segment.mask.png",
        "scene.segment.png",
    ]
    record, mask = segmentation()
    assert (mask > 0).all()
    assert [one["names"] for one in record["classes"]] == [["pig"], ["koala"], ["turtle", "boat"]]
    for one in record["classes"]:
        region = decode_rle(one["segmentation"])
        assert (region == (mask == one["id"])).all()
        assert one["area"] == region.sum()
        left, top, width, height = one["bbox"]
        assert region[top : top + height, left : left + width].sum() == one["area"]
        assert region[top].any()
        assert region[:, left].any()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--background", "threshold", "--threshold", "0.7"],
        ["--background-words", "clock, cow"],
        ["--background", "words", "--background-words", "clock"],
    ],
)
def test_background(cli, scene, arguments):
    done = cli("segment", scene, "pig", "koala", *arguments)
    assert done.code == 0, done.err
    record, mask = segmentation()
    assert (mask == 0).any()
    assert sum(one["area"] for one in record["classes"]) == (mask > 0).sum()


def test_refined_borders_and_absent_names(cli, scene):
    done = cli("segment", scene, "dog", "pig", "--quiet")
    assert done.code == 0, done.err
    plain = segmentation()[1]
    done = cli("segment", scene, "dog", "pig", "--refine", "guided", "--quiet", "--overwrite")
    assert done.code == 0, done.err
    assert (segmentation()[1] != plain).any()
    done = cli("segment", scene, "dog", "pig", "--min-presence", "0.5", "--quiet", "--overwrite")
    assert done.code == 0, done.err
    record, mask = segmentation()
    assert [one["names"] for one in record["classes"]] == [["dog"]]
    assert (mask == record["classes"][0]["id"]).all()


def test_windows(cli, scene):
    done = cli("segment", scene, "pig", "boat", "--crop", 96, "--stride", 48, "--size", 192)
    assert done.code == 0, done.err
    record, mask = segmentation()
    assert "in windows of 96 px, 48 px apart" in record["method"]
    assert mask.shape == (288, 288)


def test_segmentation_uses_the_similarity(cli, scene):
    done = cli("segment", scene, "pig", "boat", "--method", "legrad")
    assert done.code == 2
    assert "legrad" in done.err.lower()
    assert "similarity" in done.err


BAD = {
    "twice": (["pig,cow", "cow"], "'cow' more than once"),
    "no name": (["pig,", "cow"], "Expected names in every class"),
    "words missing": (["pig", "--background", "words"], "--background-words sky"),
    "words not wanted": (
        ["pig", "--background", "none", "--background-words", "sky"],
        "do not go with --background none",
    ),
    "word is a class": (["pig", "--background-words", "pig"], "Expected each text once"),
    "empty word": (["pig", "--background-words", "sky,"], "Expected a text with words"),
    "threshold": (["pig", "--threshold", "2"], "Invalid value for '--threshold'"),
    "stride": (["pig", "--crop", "64", "--stride", "128"], "stride of at most the crop's 64 px"),
    "stitch": (["pig", "--stitch", "values"], "--stitch values needs windows"),
    "refine": (["pig", "--refine", "guidd"], "Did you mean 'guided'"),
    "presence": (["pig", "--min-presence", "2"], "Invalid value for '--min-presence'"),
    "framing": (["pig", "--crop", "64", "--framing", "squash"], "does not go with windows"),
}


@pytest.mark.parametrize(("arguments", "reason"), BAD.values(), ids=BAD)
def test_wrong_usage(cli, scene, arguments, reason):
    done = cli("segment", scene, *arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1
    assert not Path("out").exists()


def test_more_classes_than_a_palette_holds(cli, scene, home):
    (home / "words.txt").write_text("\n".join(f"pig {i}" for i in range(256)))
    done = cli("segment", scene, "--labels", "words.txt")
    assert done.code == 2
    assert "Expected at most 255 classes, but got 256" in done.err
