import json
from pathlib import Path

import pytest
from PIL import Image

from clip_surgery.apps.cli.commands.demo import read_scene
from clip_surgery.tasks import search


@pytest.fixture
def photos(home, scene):
    folder = home / "photos"
    folder.mkdir()
    scene.rename(folder / "scene.png")
    for colour in ("red", "green"):
        Image.new("RGB", (40, 30), colour).save(folder / f"{colour}.png")
    return folder


def test_the_image_with_the_object_is_the_best_hit_and_explained(cli, photos):
    (photos / "bad.png").write_bytes(b"not an image")
    seen = read_scene().objects[0]
    done = cli("search", photos, f"a photo of a {seen}", "--why", "--top", 2)
    assert done.code == 1, done.err
    assert "bad.png" in done.err
    record = json.loads(Path("out/scene.search.json").read_text())
    assert record["rank"] == 1
    assert seen in [word["text"] for word in record["words"]]
    lines = [json.loads(line) for line in Path("out/search.jsonl").read_text().splitlines()]
    assert [line["rank"] for line in lines] == [1, 2]
    page = Path("out/search.html").read_text()
    assert page.count("<article") == 2
    assert seen in page
    assert Path("out/scene.search.png").stat().st_size


def test_a_folder_is_encoded_once(cli, photos, monkeypatch):
    assert cli("search", photos, "a dog").code == 0
    similarity = json.loads(Path("out/scene.search.json").read_text())["similarity"]
    encoded = []
    own = search.image_features
    monkeypatch.setattr(
        search, "image_features", lambda *args: encoded.extend(args[1]) or own(*args)
    )
    assert cli("search", photos, "a dog").code == 0
    assert encoded == []
    assert json.loads(Path("out/scene.search.json").read_text())["similarity"] == similarity
    Image.new("RGB", (40, 30), "blue").save(photos / "blue.png")
    assert cli("search", photos, "--like", photos / "blue.png", "--out", "like").code == 0
    assert [Path(image.name).name for image in encoded] == ["blue.png", "blue.png"]
    assert json.loads(Path("like/blue.search.json").read_text())["rank"] == 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["dog", "cat"], "Expected one text"),
        (["dog", "--format", "png"], "format"),
        (["dog", "--top", "0"], "Invalid value for '--top'"),
    ],
)
def test_bad_calls(cli, photos, arguments, reason):
    done = cli("search", photos, *arguments)
    assert done.code == 2
    assert reason in done.err
