"""The command `audit`."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from clip_surgery.audits import run
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.storage.file_lock import take_lock


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


@pytest.fixture
def arguments(home):
    """An audit of three images."""
    (home / "photos").mkdir()
    for colour in ("blue", "green", "red"):
        Image.new("RGB", (40, 30), colour).save(home / "photos" / f"{colour}.png")
    (home / "labels.txt").write_text("dog\ncat\n")
    (home / "words.txt").write_text("grass\n")
    return [
        *("audit", "photos", "--labels", "labels.txt", "--vocabulary", "words.txt"),
        *("--templates", "photo", "--regions", "1"),
    ]


@pytest.fixture
def measured(monkeypatch):
    """The number of measured images; the second one is interrupted if `interrupted` is set."""
    counts = {"images": 0, "interrupted": False}
    measure = run.image_regions

    def counting(*values, **named):
        counts["images"] += 1
        if counts["interrupted"] and counts["images"] == 2:
            raise KeyboardInterrupt
        return measure(*values, **named)

    monkeypatch.setattr(run, "image_regions", counting)
    return counts


def test_an_interrupted_audit_continues_or_starts_again(cli, home, arguments, measured):
    for options, expected in (((), 2), (("--fresh",), 3)):
        measured.update(images=0, interrupted=True)
        assert cli(*arguments, "--overwrite").code != 0
        assert len(list((home / "out/audit-journal").glob("*.part"))) == 1
        measured.update(images=0, interrupted=False)
        done = cli(*arguments, "--overwrite", *options)
        assert done.code == 0, done.err
        assert measured["images"] == expected
        assert ("going on where a run stopped" in done.err) == (not options)
        assert not (home / "out/audit-journal").exists()


@pytest.mark.slow
def test_other_labels_do_not_continue_an_audit_but_may_replace_it(cli, home, arguments, measured):
    measured["interrupted"] = True
    assert cli(*arguments).code != 0
    measured.update(images=0, interrupted=False)
    (home / "labels.txt").write_text("dog\nboat\n")
    done = cli(*arguments)
    assert done.code == 2
    assert "--fresh begins anew" in done.err
    assert measured["images"] == 0
    assert cli(*arguments, "--fresh", "--journal", "named").code == 0
    assert len(list((home / "named").glob("*.part"))) == 3  # a named journal stays


def test_two_audits_of_one_folder_are_not_mixed(cli, home, arguments, measured):
    (home / "out").mkdir()
    for folder, reason in (
        ("out", "out: another audit is writing there."),
        ("named", "named: this is running already."),
    ):
        (home / folder).mkdir(exist_ok=True)
        handle = os.open(home / folder, os.O_RDONLY)
        try:
            assert take_lock(handle)
            done = cli(*arguments, "--journal", "named")
            assert done.code == 2
            assert reason in done.err
        finally:
            os.close(handle)
    assert measured["images"] == 0
    assert list((home / "out").iterdir()) == []


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
