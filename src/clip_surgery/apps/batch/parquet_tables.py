"""Tables: Parquet files whose rows are images, as paths or as the bytes of image files.

Rows are read a few at a time. Parquet is not made for reading from the middle, so who reads
goes on from where it stopped where it can: a process that takes shards in order reads a file once.
"""

from __future__ import annotations

import hashlib
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from clip_surgery.apps.batch.arrow import require_arrow
from clip_surgery.apps.batch.items import Item
from clip_surgery.errors import InputError

COLUMNS, KEYS = ("path", "image", "bytes"), ("key", "id", "name")
_ROWS_AT_A_TIME = 16  # of bytes: an image may take megabytes
_FOOTER = 65_536


@dataclass
class TableSource:
    """Rows of Parquet files, one image each.

    Attributes:
        paths: the files as they were given.
        folder: where relative paths are looked for, of the files and in them.
        ends: after how many rows each file ends.
        column: where the images are: paths, bytes, or a struct of "bytes" and "path".
        key: the column with their names; None for the paths, or file and row for bytes.
    """

    paths: tuple[str, ...]
    folder: str
    ends: tuple[int, ...]
    column: str
    key: str | None = None
    _reader: _Reader | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(
        cls, paths: Sequence[str], *, column: str | None = None, key: str | None = None
    ) -> TableSource:
        """Look into the files, and find their columns.

        Raises:
            InputError: when a file is damaged, has not the columns, or none has a row.
        """
        ends, total = [], 0
        for path in paths:
            with _file(path) as file:
                names = file.schema_arrow.names
                column = column or _column_of(path, names)
                for name in (column, key or column):
                    if name not in names:
                        raise InputError(
                            f"{path}: expected a column {name!r}, but it has {', '.join(names)}."
                        )
                kind = _kind(path, file.schema_arrow.field(column))
                if key is None and kind == "bytes":
                    key = next((name for name in KEYS if name in names), None)
                total += file.metadata.num_rows
                ends.append(total)
        if not total or column is None:
            raise InputError(f"{', '.join(paths)}: expected rows with images, but got none.")
        return cls(tuple(paths), os.getcwd(), tuple(ends), column, key)

    def __len__(self) -> int:
        """How many rows there are."""
        return self.ends[-1]

    def __getstate__(self) -> dict[str, Any]:
        """All but the open file."""
        return self.__dict__ | {"_reader": None}

    def digest(self) -> str:
        """Columns, and of each file its name, size and last part, where Parquet lists its pages."""
        listed = hashlib.sha256(f"{self.column}\0{self.key}".encode())
        for path in self.paths:
            with Path(self.folder, path).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _FOOTER))
                listed.update(f"\0{path}\0{size}\0".encode(errors="replace") + file.read())
        return listed.hexdigest()[:16]

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The rows from `start` up to `stop`, read a few at a time."""
        index = start
        while index < min(stop, len(self)):
            number = bisect_right(self.ends, index)
            first = self.ends[number - 1] if number else 0
            row = index - first
            if self._reader is None or not self._reader.reaches(number, row):
                path = os.path.join(self.folder, self.paths[number])
                self._reader = _Reader(path, number, [c for c in (self.column, self.key) if c])
            record = self._reader.row(row)
            yield self._item(index, f"{self.paths[number]}:{row}", record)
            index += 1

    def _item(self, index: int, place: str, record: dict[str, Any]) -> Item:
        value = record[self.column]
        name = record.get(self.key) if self.key else None
        if isinstance(value, dict):
            name = value.get("path") if name is None else name
            value = value["bytes"] if value["bytes"] is not None else value.get("path")
        if isinstance(value, str):
            content: str | bytes | None = os.path.join(self.folder, value)
            name = value if name is None else name
        else:
            content = value
        return Item(index, place if name is None else str(name), content)


class _Reader:
    """One file, read forwards a few rows at a time."""

    def __init__(self, path: str, number: int, columns: list[str]) -> None:
        self.path, self.number = path, number
        self._file = _file(path)
        self._batches = self._file.iter_batches(batch_size=_ROWS_AT_A_TIME, columns=columns)
        self._start = 0
        self._rows: list[dict[str, Any]] = []

    def reaches(self, number: int, row: int) -> bool:
        """Whether this row is here or ahead."""
        return number == self.number and row >= self._start

    def row(self, row: int) -> dict[str, Any]:
        """One row, all before it passed over."""
        while row >= self._start + len(self._rows):
            self._start += len(self._rows)
            batch = self._next()
            passed = row >= self._start + len(batch)
            self._rows = [{}] * len(batch) if passed else batch.to_pylist()
        return self._rows[row - self._start]

    def _next(self) -> Any:
        try:
            return next(self._batches)
        except (OSError, StopIteration, require_arrow().ArrowException) as error:
            reason = " ".join(str(error).split()) or "it ends early"
            raise InputError(f"{self.path}: damaged after row {self._start} ({reason}).") from error


def _file(path: str) -> Any:
    arrow = require_arrow()
    try:
        # pages are read as they are needed, so memory does not grow with a row group
        return arrow.parquet.ParquetFile(path, pre_buffer=False, buffer_size=2**20)
    except (OSError, arrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read as Parquet ({reason}).") from error


def _column_of(path: str, names: Sequence[str]) -> str:
    for name in COLUMNS:
        if name in names:
            return name
    raise InputError(
        f"{path}: expected a column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}, but it has "
        f"{', '.join(names)}; say which one holds images (--column)."
    )


def _kind(path: str, field: Any) -> str:
    """Whether a column holds paths or bytes."""
    types = require_arrow().types
    held = field.type.value_type if types.is_dictionary(field.type) else field.type
    if types.is_struct(held) and "bytes" in [held.field(i).name for i in range(held.num_fields)]:
        held = held.field("bytes").type
    if types.is_string(held) or types.is_large_string(held):
        return "paths"
    if types.is_binary(held) or types.is_large_binary(held):
        return "bytes"
    raise InputError(
        f"{path}: expected paths or bytes in column {field.name!r}, but got {field.type}."
    )
