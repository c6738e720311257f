import pyarrow.parquet as pq
import pytest

from clip_surgery.apps.batch.job import TaskSettings
from clip_surgery.apps.batch.rows import error_row, schema
from clip_surgery.apps.batch.shards import (
    FinishedShard,
    read_shard,
    shard_path,
    write_shard,
)
from clip_surgery.errors import InputError

ROW_SCHEMA = schema(TaskSettings(tasks=("scores",)), segmenter=False)
GOOD = {"size": {"height": 3, "width": 4}, "texts": ["dog"], "scores": [0.5]}


def rows(count=40, size=1):
    for index in range(count):
        yield (
            {"path": f"{index}" * size, **GOOD}
            if index % 10
            else error_row(f"{index}", "bad\nfile")
        )


def groups(count, **settings):
    """The rows in groups of three."""
    listed = list(rows(count, **settings))
    return [listed[start : start + 3] for start in range(0, count, 3)]


def write(folder, count=40, key="k", **settings):
    return write_shard(folder, 7, groups(count, **settings), row_schema=ROW_SCHEMA, key=key)


def test_there_and_back(tmp_path):
    done = write(tmp_path)
    assert done == FinishedShard(7, 40, 4)
    assert read_shard(tmp_path, 7, rows=40, key="k") == done
    [path] = tmp_path.iterdir()
    assert path == shard_path(tmp_path, 7)
    read = pq.read_table(path).to_pylist()
    assert read[0] == {**dict.fromkeys(read[0]), "path": "0", "error": "bad file"}
    assert read[1] == {"path": "1", **GOOD, "error": None}


def test_what_is_not_this_shard(tmp_path):
    write(tmp_path)
    assert read_shard(tmp_path, 7, rows=39, key="k") is None
    assert read_shard(tmp_path, 7, rows=40, key="other") is None
    assert read_shard(tmp_path, 8, rows=40, key="k") is None


@pytest.mark.parametrize("kept", [0, 4, 500, -1])
def test_half_a_file(tmp_path, kept):
    write(tmp_path)
    path = shard_path(tmp_path, 7)
    path.write_bytes(path.read_bytes()[:kept])
    assert read_shard(tmp_path, 7, rows=40, key="k") is None


def test_a_changed_bit(tmp_path):
    """Wherever it is: the shard is refused, or the change says nothing and the rows are the same.

    Pages have checksums; their headers have none, and hold numbers that readers pass over.
    """
    write(tmp_path)
    path = shard_path(tmp_path, 7)
    whole, good = path.read_bytes(), pq.read_table(path)
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    refused = 0
    for place in range(4, len(whole) - footer):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        if read_shard(tmp_path, 7, rows=40, key="k") is None:
            refused += 1
        else:
            assert pq.read_table(path).equals(good), place
    assert refused > 0.5 * (len(whole) - footer)


def test_rows_that_stop_leave_nothing(tmp_path):
    def stopping():
        yield list(rows(5))
        raise KeyboardInterrupt

    write(tmp_path)
    before = shard_path(tmp_path, 7).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write_shard(tmp_path, 7, stopping(), row_schema=ROW_SCHEMA, key="k")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_rows_are_written_as_they_come(tmp_path):
    write(tmp_path, count=30, size=2**20)
    with pq.ParquetFile(shard_path(tmp_path, 7)) as file:
        assert file.num_row_groups > 1
    assert read_shard(tmp_path, 7, rows=30, key="k") == FinishedShard(7, 30, 3)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"part-00007.parquet: cannot be written"):
        write(tmp_path / "none")
