"""The command `audit`."""

import json

from PIL import Image


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
