"""Shards: files of results, each there whole or not at all.

A shard is written under a hidden name, brought to the disk, and renamed. Pages carry checksums,
so that a file that was cut off or changed later is found out, and made again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from clip_surgery.apps.batch.arrow import require_arrow
from clip_surgery.apps.batch.rows import Row, table
from clip_surgery.errors import InputError
from clip_surgery.storage.atomic_file import writing_atomically

_KEY = b"clip_surgery.job"
_BYTES_AT_A_TIME = 2**25  # of rows that wait to be written


class Done(NamedTuple):
    """A shard that is on disk: its number, rows, and how many of them are errors."""

    shard: int
    rows: int
    errors: int


def shard_path(folder: Path, shard: int) -> Path:
    """The file of a shard.

    Example:
        >>> shard_path(Path("out"), 12).name
        'part-00012.parquet'
    """
    return folder / f"part-{shard:05}.parquet"


def write_shard(folder: Path, shard: int, rows: Iterable[Row], *, of: Any, key: str) -> Done:
    """Write the rows of one shard by this schema, for the job with this key.

    Rows are written as they come: memory holds a few megabytes of them.

    Raises:
        InputError: when the file cannot be written.
    """
    pa = require_arrow()
    path = shard_path(folder, shard)
    of = of.with_metadata({_KEY: key.encode()})
    count = errors = size = 0
    waiting: list[Any] = []
    try:
        with (
            writing_atomically(path, durable=True) as file,
            pa.parquet.ParquetWriter(
                file, of, compression="zstd", write_page_checksum=True
            ) as writer,
        ):
            for row in rows:
                count, errors = count + 1, errors + (row.get("error") is not None)
                waiting.append(table([row], of))
                size += waiting[-1].nbytes
                if size >= _BYTES_AT_A_TIME:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting, size = [], 0
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error}).") from error
    return Done(shard, count, errors)


def read_shard(folder: Path, shard: int, *, rows: int, key: str) -> Done | None:
    """Look whether a shard is whole and of the job with this key: None if it must be made again.

    Everything is read once, and the checksums with it.
    """
    pa = require_arrow()
    try:
        with pa.parquet.ParquetFile(
            shard_path(folder, shard), page_checksum_verification=True, pre_buffer=False
        ) as file:
            if file.metadata.num_rows != rows or file.metadata.metadata.get(_KEY) != key.encode():
                return None
            errors = count = 0
            for group in range(file.num_row_groups):
                part = file.read_row_group(group)
                column = part.column("error")
                errors += len(column) - column.null_count
                count += part.num_rows
    except (OSError, KeyError, pa.ArrowException):
        return None
    return Done(shard, rows, errors) if count == rows else None
