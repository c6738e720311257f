"""The column of image features: what a batch writes, and what is refused when it is read."""

import json
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from clip_surgery.apps.batch.feature_index import METADATA, read_feature_index
from clip_surgery.apps.batch.job import TaskSettings, feature_identity
from clip_surgery.apps.batch.run import run
from clip_surgery.errors import InputError, WeightsError
from clip_surgery.inputs.images import read_image
from clip_surgery.tasks.search import image_features, unit_features
from tests.apps.batch.jobs import TEXTS, Here, job_of, loaded, pictures, rows_of

ONLY_FEATURES = TaskSettings(tasks=("features",))
MODEL = json.dumps({"backbone": "tiny", "weights": "1"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return pictures(tmp_path_factory.mktemp("pictures"), count=3)


@pytest.fixture(scope="module")
def out(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("rows")
    summary = run(job_of(folder, texts=(), settings=ONLY_FEATURES, shard_size=2), out, Here())
    assert (summary.rows, summary.errors, summary.shards) == (4, 1, 2)
    return out


def test_features_are_those_of_the_model_in_length_one(folder, out):
    index = read_feature_index(out)
    good = [path for path in sorted(folder.iterdir()) if path.suffix == ".png"]
    assert index.paths == tuple(map(str, good))
    expected = image_features(loaded(), [read_image(path) for path in good])
    expected /= expected.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(index.features, expected, rtol=0, atol=1e-5)
    index.check_model(feature_identity(loaded()))
    assert list(rows_of(out)[0]) == ["path", "size", "texts", "features", "modified", "error"]
    assert index.modified == tuple(path.stat().st_mtime_ns for path in good)
    [bad] = [row for row in rows_of(out) if row["error"]]
    assert bad["features"] is None


def test_one_file_of_an_index_and_features_beside_scores(folder, tmp_path):
    settings = TaskSettings(tasks=("scores", "features"))
    run(job_of(folder, settings=settings, shard_size=2), tmp_path, Here())
    [first, _] = sorted(tmp_path.glob("*.parquet"))
    assert len(read_feature_index(first).paths) == 2
    assert rows_of(tmp_path)[0]["texts"] == list(TEXTS)
    assert len(rows_of(tmp_path)[0]["scores"]) == len(TEXTS)


def test_texts_are_needed_by_all_other_tasks(folder):
    with pytest.raises(InputError, match="text"):
        job_of(folder, texts=(), settings=TaskSettings(tasks=("scores", "features")))


def test_an_index_of_another_model_is_refused(out):
    index = read_feature_index(out)
    identity = feature_identity(loaded())
    for name in identity:
        with pytest.raises(InputError, match=rf"its {name} is .* and not other"):
            index.check_model(identity | {name: "other"})
    with pytest.raises(InputError, match="its weights is unknown"):
        replace(index, model={"backbone": identity["backbone"]}).check_model(identity)


def write(path, features, *, paths=None, kind=None, metadata=MODEL, modified=None):
    column = pa.array(features, kind or pa.list_(pa.float32()))
    names = pa.array([f"{i}.png" for i in range(len(features))] if paths is None else paths)
    written = pa.table({"path": names, "features": column})
    if modified is not None:
        written = written.append_column("modified", pa.array(modified))
    entries = {} if metadata is None else {METADATA: metadata}
    pq.write_table(written.replace_schema_metadata(entries), path)
    return path


@pytest.mark.parametrize(
    ("features", "settings", "reason"),
    [
        ([[float("nan"), 1.0]], {}, "expected finite features"),
        ([[float("inf"), 1.0]], {}, "expected finite features"),
        ([[None, 1.0]], {}, "expected finite features"),
        ([[3.0, 4.0]], {}, "expected features of length 1, but got 5"),
        ([[0.0, 0.0]], {}, "expected features of length 1, but got 0"),
        ([[3e38, 3e38]], {}, "expected features of length 1, but got inf"),
        ([[1.0], [0.6, 0.8]], {}, "of one length of at least 1, but got lengths from 1 to 2"),
        ([[], []], {}, "of one length of at least 1, but got lengths from 0 to 0"),
        ([], {}, "expected .*, but got"),
        ([None, None], {}, "expected rows with features, but got none"),
        ([["a"]], {"kind": pa.list_(pa.string())}, "expected lists of float32 .* got list<"),
        ([1.0], {"kind": pa.float32()}, "expected lists of float32 .* but got float"),
        ([[1.0]], {"kind": pa.list_(pa.float64())}, "expected lists of float32"),
        ([[1.0]], {"paths": [None]}, "expected texts in column 'path', but got null"),
        ([[1.0], [1.0]], {"paths": ["a", None]}, "expected a path in each row"),
        ([[1.0]], {"paths": [7]}, "expected texts in column 'path', but got int64"),
        ([[1.0]], {"modified": ["now"]}, "expected integers of 64 bits in column 'modified'"),
        ([[1.0]], {"modified": [1.5]}, "expected integers of 64 bits in column 'modified'"),
        ([[1.0]], {"metadata": None}, "make them with batch --tasks features"),
        ([[1.0]], {"metadata": "[1]"}, "the model of the features is unknown"),
        ([[1.0]], {"metadata": '{"weights": 1}'}, "the model of the features is unknown"),
        ([[1.0]], {"metadata": "[" * 100_000}, "the model of the features is unknown"),
        ([[1.0]], {"metadata": b"\xff"}, "the model of the features is unknown"),
    ],
)
def test_hostile_files_give_one_line(tmp_path, features, settings, reason):
    path = write(tmp_path / "rows.parquet", features, **settings)
    with pytest.raises(InputError, match=reason) as raised:
        read_feature_index(path)
    assert "\n" not in str(raised.value)


def test_the_times_of_files_are_optional(tmp_path):
    write(tmp_path / "a.parquet", [[1.0]])
    write(tmp_path / "b.parquet", [[1.0], [1.0]], modified=[7, None])
    assert read_feature_index(tmp_path).modified == (None, 7, None)


def test_damaged_missing_and_mixed_files_are_refused(tmp_path):
    good = write(tmp_path / "a.parquet", [[0.6, 0.8], [1.0, 0.0]])
    content = bytearray(good.read_bytes())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="expected Parquet files in this folder"):
        read_feature_index(tmp_path / "empty")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read_feature_index(tmp_path / "missing.parquet")
    write(tmp_path / "b.parquet", [[1.0]])
    with pytest.raises(InputError, match=r"b\.parquet: expected features of one length"):
        read_feature_index(tmp_path)
    write(tmp_path / "b.parquet", [[1.0, 0.0]], metadata='{"weights": "2"}')
    with pytest.raises(InputError, match=r"b\.parquet: of another model than"):
        read_feature_index(tmp_path)
    broken = tmp_path / "broken.parquet"
    for position in range(4, len(content), 7):
        damaged = content.copy()
        damaged[position] ^= 0xFF
        broken.write_bytes(damaged)
        with suppress(InputError):  # or the change has no effect on the features
            assert bool(read_feature_index(broken).features.isfinite().all())


def test_the_limit_of_the_size(tmp_path, monkeypatch):
    monkeypatch.setattr("clip_surgery.apps.batch.feature_index.MAX_VALUES", 3)
    write(tmp_path / "a.parquet", [[1.0, 0.0]])
    assert len(read_feature_index(tmp_path).paths) == 1
    write(tmp_path / "b.parquet", [[1.0, 0.0]])
    with pytest.raises(InputError, match="over the limit of 8 GiB"):
        read_feature_index(tmp_path)


def test_features_that_are_not_finite_name_the_model(monkeypatch):
    for value in (np.nan, 0.0):
        features = torch.full((1, 4), value)
        monkeypatch.setattr("clip_surgery.tasks.search.image_features", lambda *_, f=features: f)
        with pytest.raises(WeightsError, match="not finite, or zero"):
            unit_features(loaded(), [])
