import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from clip_surgery.apps.batch import local_engine
from clip_surgery.apps.batch.feature_index import METADATA
from clip_surgery.apps.cli.commands.demo import read_scene
from clip_surgery.apps.cli.shared.index_hits import existing_hits
from clip_surgery.tasks import search
from tests.apps.batch.jobs import Here


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


@pytest.fixture
def index(cli, photos, monkeypatch):
    """A folder with the features of the photos, and no tower that could compute others."""

    class InThisProcess(Here):
        def __init__(self, **settings):
            pass

    monkeypatch.setattr(local_engine, "LocalEngine", InThisProcess)
    done = cli("batch", "photos", "--tasks", "features", "--out", "rows")
    assert done.code == 0, done.err
    return "rows"


def test_an_index_gives_the_hits_of_the_folder(cli, photos, index, monkeypatch):
    assert cli("search", photos, "a dog", "--top", 3, "--out", "folder").code == 0

    def refuse(*_):
        raise AssertionError("the image tower must not run")

    monkeypatch.setattr(search, "image_features", refuse)
    done = cli("search", "a dog", "--index", index, "--top", 3)
    assert done.code == 0, done.err
    for name in ("scene", "red", "green"):
        records = [
            json.loads(Path(out, f"{name}.search.json").read_text()) for out in ("out", "folder")
        ]
        assert records[0]["rank"] == records[1]["rank"]
        assert records[0]["similarity"] == pytest.approx(records[1]["similarity"], abs=1e-5)


def test_hits_that_were_changed_since_are_reported(cli, photos, index):
    done = cli("search", "a dog", "--index", index)
    assert "changed" not in done.err
    Image.new("RGB", (40, 30), "white").save(photos / "red.png")
    os.utime(photos / "red.png", ns=(0, 10**18))
    done = cli("search", "a dog", "--index", index)
    assert done.code == 0
    assert done.err.count("red.png: changed since the index was computed") == 1
    assert done.err.count("changed") == 1


def test_missing_files_of_an_index_are_reported(cli, photos, index):
    (photos / "scene.png").unlink()
    seen = read_scene().objects[0]
    done = cli("search", f"a {seen}", "--index", index, "--why", "--top", 2)
    assert done.code == 1
    assert done.err.count("scene.png: in the index, but no such file") == 1
    assert done.err.count("\n") == 1
    lines = [json.loads(line) for line in Path("out/search.jsonl").read_text().splitlines()]
    assert [line["rank"] for line in lines] == [1, 2]
    for photo in photos.iterdir():
        photo.unlink()
    done = cli("search", f"a {seen}", "--index", index)
    assert done.code == 2
    assert done.err.count("no such file") == 3


def test_files_whose_names_are_escaped_in_an_index_are_found(cli, home, photos, request):
    for name in (b"caf\xe9.png", b"\x1b[31m.png"):
        os.rename(photos / "red.png", os.fsencode(photos) + b"/" + name)
        Image.new("RGB", (40, 30), "red").save(photos / "red.png")
    index = request.getfixturevalue("index")
    done = cli("search", "a dog", "--index", index, "--top", 9)
    assert done.code == 0, done.err
    lines = [json.loads(path.read_text()) for path in Path("out").glob("*.json")]
    names = {Path(line["image"]).name for line in lines}
    assert names == {"scene.png", "red.png", "green.png", r"caf\xe9.png", r"\x1b[31m.png"}


def test_few_of_many_missing_files_are_named(capsys):
    paths = [Path(f"missing-{number}.png") for number in range(2000)]
    hits = [search.Hit(position, 0.5) for position in range(len(paths))]
    assert existing_hits(hits, paths, top=1) == ([], 2000)
    assert capsys.readouterr().err.count("\n") == 11


def test_an_index_of_another_model_and_hostile_rows(cli, photos, index):
    [file] = Path(index).glob("*.parquet")
    table = pq.read_table(file)
    evil = "\x1b]0;owned\x07\x1b[31m\u202e\n.png"
    model = json.loads(table.schema.metadata[METADATA]) | {"weights": evil}
    other = table.replace_schema_metadata({METADATA: json.dumps(model)})
    pq.write_table(other, "other.parquet")
    done = cli("search", "a dog", "--index", "other.parquet")
    assert done.code == 2
    assert "The index is of another model: its weights is" in done.err
    assert "\x1b" not in done.err
    names = pa.array([evil, "a\0b", "photos"][: table.num_rows])
    pq.write_table(table.set_column(0, "path", names), "names.parquet")
    done = cli("search", "a dog", "--index", "names.parquet")
    assert done.code == 2
    assert done.err.count("\n") == 3
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e]", done.err)


def test_bad_calls_with_an_index(cli, photos):
    for arguments, reason in (
        (["photos", "dog"], "Expected no images beside --index, which has them, but got 3."),
        (["dog", "cat"], "Expected one text"),
        ([], "No text to look for"),
        (["dog", "--like", "photos/red.png"], "and --like"),
        (["dog"], "missing.parquet: cannot be read as Parquet"),
    ):
        done = cli("search", *arguments, "--index", "missing.parquet")
        assert done.code == 2
        assert reason in done.err
        assert done.err.count("\n") == 1


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
