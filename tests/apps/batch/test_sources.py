import io
import os
import pickle
import sys
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clip_surgery.apps.batch.sources import open_source
from clip_surgery.errors import InputError, MissingExtraError
from tests.apps.batch.jobs import grey


def content(value):
    buffer = io.BytesIO()
    grey(value).save(buffer, "PNG")
    return buffer.getvalue()


def write(path, columns, **settings):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, **settings)
    return path


def names(source, start=0, stop=10**9):
    return [item.name for item in source.items(start, stop)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in range(3):
        grey(value).save(tmp_path / f"{value}.png")
    (tmp_path / "notes.txt").touch()
    return tmp_path


def test_files_in_order(folder):
    source = open_source([folder])
    assert len(source) == 3
    assert names(source) == [str(folder / f"{value}.png") for value in range(3)]
    assert [item.index for item in source.items(1, 3)] == [1, 2]
    assert names(open_source(["2.png", "[01].png", "2.png"])) == ["2.png", "0.png", "1.png"]


def test_a_process_elsewhere_finds_the_same_files(folder, monkeypatch):
    source = open_source(["*.png"])
    monkeypatch.chdir("/")
    [first, *_] = pickle.loads(pickle.dumps(source)).items(0, 9)
    assert first.name == "0.png"
    assert os.path.samefile(first.content, folder / "0.png")


def test_the_digest_knows_names_and_sizes(folder):
    before = open_source(["*.png"]).digest()
    assert open_source(["*.png"]).digest() == before
    grey(3, size=(50, 40)).save(folder / "1.png")
    changed = open_source(["*.png"]).digest()
    grey(4).save(folder / "4.png")
    source = open_source(["*.png"])
    more = source.digest()
    (folder / "4.png").unlink()
    assert len({before, changed, more, source.digest()}) == 4


def test_paths_in_parquet(folder):
    write(folder / "list.parquet", {"n": [1, 2], "path": ["1.png", "gone.png"]})
    source = open_source(["list.parquet"])
    assert [(item.name, item.content) for item in source.items(0, 2)] == [
        ("1.png", str(folder / "1.png")),
        ("gone.png", str(folder / "gone.png")),
    ]
    assert names(open_source(["list.parquet"], key="n")) == ["1", "2"]


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
def test_bytes_in_parquet(folder, kind):
    values = pa.array([content(1), None], kind)
    write(folder / "a.parquet", {"bytes": values, "id": ["one", "two"], "other": [7, 8]})
    first, second = open_source(["a.parquet"]).items(0, 2)
    assert (first.name, first.content) == ("one", content(1))
    assert (second.name, second.content) == ("two", None)
    assert names(open_source(["a.parquet"], key="other")) == ["7", "8"]


def test_bytes_without_a_key_are_called_by_file_and_row(folder):
    write(folder / "a.parquet", {"picture": [content(1)]})
    assert names(open_source(["a.parquet"], column="picture")) == ["a.parquet:0"]


def test_a_struct_of_bytes_and_path(folder):
    values = [{"bytes": content(1), "path": "x.png"}, {"bytes": None, "path": "2.png"}]
    write(folder / "a.parquet", {"image": values})
    first, second = open_source(["a.parquet"]).items(0, 2)
    assert (first.name, first.content) == ("x.png", content(1))
    assert (second.name, second.content) == ("2.png", str(folder / "2.png"))


def test_paths_that_are_stored_as_categories(folder):
    values = pa.array(["1.png", "2.png", "1.png"]).dictionary_encode()
    write(folder / "a.parquet", {"path": values})
    assert names(open_source(["a.parquet"])) == ["1.png", "2.png", "1.png"]


def test_any_part_of_several_files(folder):
    for number, (start, stop) in enumerate(pairwise([0, 70, 70, 173])):
        rows = {"path": [f"{row}.png" for row in range(start, stop)]}
        schema = pa.schema({"path": pa.string()})
        pq.write_table(pa.table(rows, schema), folder / f"{number}.parquet", row_group_size=25)
    source = open_source([folder / "*.parquet"])
    expected = [f"{row}.png" for row in range(173)]
    assert len(source) == 173
    assert names(source) == expected
    for start, stop in [(0, 3), (3, 9), (60, 80), (5, 8), (69, 71), (170, 999), (100, 100)]:
        assert names(source, start, stop) == expected[start:stop]
    assert names(pickle.loads(pickle.dumps(source)), 42, 44) == expected[42:44]


def test_the_digest_of_a_table_knows_its_rows(folder):
    digests = set()
    for paths in (["1.png"], ["2.png"], ["1.png", "2.png"]):
        write(folder / "a.parquet", {"path": paths, "key": paths})
        digests.add(open_source(["a.parquet"]).digest())
    digests.add(open_source(["a.parquet"], key="key").digest())
    assert len(digests) == 4


def test_a_folder_of_parquet(folder):
    (folder / "t").mkdir()
    for number in range(2):
        write(folder / "t" / f"{number}.parquet", {"path": [f"{number}.png"]})
    (folder / "t" / "_manifest.parquet").write_bytes(b"side file")
    assert names(open_source([folder / "t"])) == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        (["none"], {}, "none: no such file"),
        (["empty"], {}, "no image in this folder"),
        ([], {}, "but got none"),
        (["0.png"], {"column": "path"}, "column 'path' is for Parquet"),
        (["0.png", "a.parquet"], {}, "0.png: expected Parquet only"),
        (["a.parquet"], {"column": "x"}, "a.parquet: expected a column 'x', but it has n, path"),
        (["a.parquet"], {"key": "x"}, "a.parquet: expected a column 'x'"),
        (["a.parquet"], {"column": "n"}, "paths or bytes in column 'n', but got int64"),
        (["b.parquet"], {}, "b.parquet: expected a column path, image or bytes, but it has n"),
        (["empty.parquet"], {}, "expected rows"),
        (["bad.parquet"], {}, "bad.parquet: cannot be read as Parquet"),
    ],
)
def test_what_is_no_source(folder, given, settings, message):
    (folder / "empty").mkdir()
    write(folder / "a.parquet", {"n": [1], "path": ["0.png"]})
    write(folder / "b.parquet", {"n": [1]})
    write(folder / "empty.parquet", {"path": pa.array([], pa.string())})
    (folder / "bad.parquet").write_bytes(b"no")
    with pytest.raises(InputError, match=message):
        open_source(given, **settings)


def test_a_table_that_is_damaged_inside_is_named(folder):
    rows = {"path": [f"{row}" * 9 for row in range(9999)]}
    path = write(folder / "a.parquet", rows, compression="zstd", use_dictionary=False)
    source = open_source([path])
    data = bytearray(path.read_bytes())
    data[500:2000] = bytes(1500)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.parquet: damaged after row"):
        names(source)


def test_parquet_needs_the_extra(folder, monkeypatch):
    write(folder / "a.parquet", {"path": ["0.png"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clip-surgery\[batch\]'"):
        open_source(["a.parquet"])
