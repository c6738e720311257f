"""Result files of a job, each of which holds the rows of one shard.

A file is written under a hidden name, synchronised with the disk, and renamed. Its footer records
the job, the number of the shard and a hash of the content, so that a damaged, copied or exchanged
file is detected and computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from clip_surgery.apps.batch.arrow import require_arrow
from clip_surgery.apps.batch.rows import Row, table
from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable
from clip_surgery.storage.atomic_file import writing_atomically

_JOB, _NUMBER, _CONTENT = b"clip_surgery.job", b"clip_surgery.shard", b"clip_surgery.content"
_BUFFER_BYTES = 2**25  # rows that are kept in memory before they are written
_READ_BYTES = 2**20
_FOOTER_END = 8  # the length of the footer, and Parquet's signature


class FinishedShard(NamedTuple):
    """A shard whose file is complete: its number, its rows, and how many of them are errors."""

    number: int
    rows: int
    errors: int


def shard_path(folder: Path, shard: int) -> Path:
    """The path of the file of a shard.

    Example:
        >>> shard_path(Path("out"), 12).name
        'part-00012.parquet'
    """
    return folder / f"part-{shard:05}.parquet"


def write_shard(
    folder: Path, shard: int, row_groups: Iterable[Sequence[Row]], *, row_schema: Any, key: str
) -> FinishedShard:
    """Write the file of a shard.

    Args:
        folder: the result folder.
        shard: number of the shard.
        row_groups: its rows, in groups that are computed at a time. They are written as they are
            computed; 32 MB are kept in memory.
        row_schema: the Arrow schema of the rows.
        key: key of the job.

    Raises:
        InputError: if the file cannot be written.
    """
    pa = require_arrow()
    path = shard_path(folder, shard)
    metadata = {_JOB: key.encode(), _NUMBER: str(shard).encode()}
    row_schema = row_schema.with_metadata({**(row_schema.metadata or {}), **metadata})
    count = errors = size = 0
    buffer: list[Any] = []
    try:
        with writing_atomically(path, durable=True) as file:
            hashing_file = _HashingFile(file)
            with pa.parquet.ParquetWriter(
                hashing_file, row_schema, compression="zstd", write_page_checksum=True
            ) as writer:
                for rows in row_groups:
                    count += len(rows)
                    errors += sum(row.get("error") is not None for row in rows)
                    buffer.append(table(rows, row_schema))
                    size += buffer[-1].nbytes
                    if size >= _BUFFER_BYTES:
                        writer.write_table(pa.concat_tables(buffer))
                        buffer, size = [], 0
                if buffer:
                    writer.write_table(pa.concat_tables(buffer))
                # What follows is the footer, which holds this hash.
                writer.add_key_value_metadata({_CONTENT: hashing_file.hash.hexdigest()})
    except OSError as error:
        raise InputError(
            f"{printable(path)}: cannot be written ({error.strerror or error})."
        ) from error
    return FinishedShard(shard, count, errors)


def read_shard(folder: Path, shard: int, *, rows: int, key: str) -> FinishedShard | None:
    """Check that the file of a shard is complete, undamaged and of this job and number.

    Args:
        folder: the result folder.
        shard: number of the shard.
        rows: number of rows that it should have.
        key: key of the job.

    Returns:
        The shard, or None if it must be computed again. The whole file is read.
    """
    pa = require_arrow()
    try:
        with shard_path(folder, shard).open("rb") as file:
            content_hash = _hash_before_footer(file)
            file.seek(0)
            with pa.parquet.ParquetFile(
                file, page_checksum_verification=True, pre_buffer=False
            ) as parquet:
                recorded = parquet.metadata.metadata
                if parquet.metadata.num_rows != rows or (
                    (recorded.get(_JOB), recorded.get(_NUMBER), recorded.get(_CONTENT))
                    != (key.encode(), str(shard).encode(), content_hash.encode())
                ):
                    return None
                return _count_errors(parquet, shard, rows)
    except (OSError, KeyError, ValueError, pa.ArrowException):
        return None


def _count_errors(parquet: Any, shard: int, rows: int) -> FinishedShard | None:
    """Read all columns, so that checksums are verified, and count rows with an error."""
    errors = count = 0
    for number in range(parquet.num_row_groups):
        group = parquet.read_row_group(number)
        column = group.column("error")
        errors += len(column) - column.null_count
        count += group.num_rows
    return FinishedShard(shard, rows, errors) if count == rows else None


def _hash_before_footer(file: BinaryIO) -> str:
    """The hash of a Parquet file up to its footer.

    Raises:
        ValueError: if the length of the footer is not that of a Parquet file.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - _FOOTER_END))
    remaining = size - _FOOTER_END - int.from_bytes(file.read(4), "little")
    if remaining < 0:
        raise ValueError("the footer is longer than the file")
    content_hash = hashlib.sha256()
    file.seek(0)
    while remaining and (chunk := file.read(min(remaining, _READ_BYTES))):
        content_hash.update(chunk)
        remaining -= len(chunk)
    return content_hash.hexdigest()


@dataclass
class _HashingFile:
    """A file open for writing that hashes everything that is written to it."""

    file: BinaryIO

    def __post_init__(self) -> None:
        self.hash = hashlib.sha256()

    def write(self, content: bytes) -> int:
        self.hash.update(content)
        return self.file.write(content)

    def flush(self) -> None:
        self.file.flush()

    def tell(self) -> int:
        return self.file.tell()

    @property
    def closed(self) -> bool:
        return self.file.closed

    def close(self) -> None:
        """Do nothing: whoever has opened the file closes it."""
