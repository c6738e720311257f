"""The command `audit`."""

import json

import numpy as np
import pytest
from PIL import Image

from clip_surgery.evaluation.datasets.scenes import SceneDataset


def test_it_writes_a_page_and_json_beside_it(cli, home):
    (home / "photos").mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (40, 30), colour).save(home / "photos" / f"{colour}.png")
    (home / "labels.txt").write_text("dog\ncat\n")
    arguments = ["audit", "photos", "--labels", "labels.txt", "--templates", "photo"]
    done = cli(*arguments, "--regions", "2")
    assert done.code == 0, done.err
    assert (home / "out/audit.html").read_text().startswith("<!doctype html>")
    values = json.loads((home / "out/audit.json").read_text())
    assert values["labels"] == ["dog", "cat"]
    assert len(values["images"]) == 2
    assert sorted(path.name for path in (home / "out").iterdir()) == ["audit.html", "audit.json"]
    done = cli(*arguments)
    assert done.code == 2
    assert "--overwrite" in done.err


@pytest.mark.slow
def test_with_masks_it_also_measures_backgrounds(cli, home):
    names = ("dog", "boat")
    for folder in ("images", "masks"):
        (home / "data" / folder).mkdir(parents=True)
    for number, scene in enumerate(SceneDataset(seed=4, count=3, names=names)):
        scene.image.save(home / "data/images" / f"{number}.png")
        mask = Image.fromarray((np.asarray(scene.mask) + 1).astype(np.uint8))
        mask.save(home / "data/masks" / f"{number}.png")
    (home / "data/names.txt").write_text("dog\nboat\n")
    (home / "labels.txt").write_text("dog\nboat\n")
    (home / "places.txt").write_text("water\ngrass\n")
    done = cli(
        "audit", "data", "--masks", "--labels", "labels.txt", "--vocabulary", "places.txt",
        "--regions", "2", "--templates", "photo",
    )  # fmt: skip
    assert done.code == 0, done.err
    values = json.loads((home / "out/audit.json").read_text())
    assert len(values["images"]) == 3
    assert values["masked"]["images"] == 3
    assert 0 <= values["masked"]["accuracy"]["mean"] <= 1
    assert -1 <= values["masked"]["foreground_sensitivity"] <= 1
    assert "foreground sensitivity" in (home / "out/audit.html").read_text().casefold()
    (home / "data/masks/1.png").unlink()
    done = cli("audit", "data", "--masks", "--labels", "labels.txt", "--overwrite")
    assert done.code == 2
    assert "1.png" in done.err
