"""Parquet files as the source of a job, with a column of paths or of the bytes of image files.

Rows are read a few at a time. Parquet cannot be read efficiently from the middle, so a reader
continues from where it stopped if it can: a process that computes shards in order reads each file
once.
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
from clip_surgery.inputs.names import printable

COLUMNS, KEYS = ("path", "image", "bytes"), ("key", "id", "name")
_ROWS_PER_READ = 16  # a row with the bytes of an image may take megabytes
_FOOTER_BYTES = 65_536


@dataclass
class TableSource:
    """Rows of Parquet files, one image each.

    Attributes:
        paths: the paths of the files, as they were given.
        folder: the folder of relative paths, of the files and of the images that they name.
        ends: for each file, the number of rows up to its end, counted over all files.
        column: the column of the images: paths, bytes, or a struct of "bytes" and "path".
        key: the column with the names of the images. If None, they are named by their path, or
            by file and row if the column holds bytes.
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
        """Read the schemas of the files and choose the columns.

        Args:
            paths: paths of the files.
            column: the column of the images; if None, it is chosen by its name.
            key: the column of the names; if None, it is chosen by its name, for bytes only.

        Raises:
            InputError: if a file is damaged or lacks a column, or there is no row.
        """
        ends, total = [], 0
        for path in paths:
            with open_parquet(path) as file:
                names = file.schema_arrow.names
                column = column or _column_of(path, names)
                for name in (column, key or column):
                    if name not in names:
                        raise InputError(
                            f"{printable(path)}: expected a column {name!r}, but it has "
                            f"{', '.join(names)}."
                        )
                kind = _kind(path, file.schema_arrow.field(column))
                if key is None and kind == "bytes":
                    key = next((name for name in KEYS if name in names), None)
                total += file.metadata.num_rows
                ends.append(total)
        if not total or column is None:
            raise InputError(
                f"{printable(', '.join(paths))}: expected rows with images, but got none."
            )
        return cls(tuple(paths), os.getcwd(), tuple(ends), column, key)

    def __len__(self) -> int:
        """Number of rows."""
        return self.ends[-1]

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickling, without the open file."""
        return self.__dict__ | {"_reader": None}

    def digest(self) -> str:
        """Digits that change with the columns, or with the name, size or footer of any file."""
        digest = hashlib.sha256(f"{self.column}\0{self.key}".encode())
        for path in self.paths:
            with Path(self.folder, path).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _FOOTER_BYTES))
                entry = f"\0{path}\0{size}\0".encode(errors="surrogatepass")
                digest.update(entry + file.read())
        return digest.hexdigest()[:16]

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The rows from index `start` up to `stop`, read a few at a time."""
        index = start
        while index < min(stop, len(self)):
            number = bisect_right(self.ends, index)
            first = self.ends[number - 1] if number else 0
            row = index - first
            if self._reader is None or not self._reader.reaches(number, row):
                path = os.path.join(self.folder, self.paths[number])
                columns = [name for name in (self.column, self.key) if name]
                self._reader = _Reader(path, number, columns)
            record = self._reader.row(row)
            yield self._item(index, record, default_name=f"{self.paths[number]}:{row}")
            index += 1

    def _item(self, index: int, record: dict[str, Any], *, default_name: str) -> Item:
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
        return Item(index, default_name if name is None else str(name), content)


class _Reader:
    """One file, which is read forwards, a few rows at a time."""

    def __init__(self, path: str, number: int, columns: list[str]) -> None:
        self.path, self.number = path, number
        self._file = open_parquet(path)
        self._batches = self._file.iter_batches(batch_size=_ROWS_PER_READ, columns=columns)
        self._start = 0
        self._rows: list[dict[str, Any]] = []

    def reaches(self, number: int, row: int) -> bool:
        """Whether this row of this file can be read without starting again."""
        return number == self.number and row >= self._start

    def row(self, row: int) -> dict[str, Any]:
        """The values of a row by column; the rows before it are skipped."""
        while row >= self._start + len(self._rows):
            self._start += len(self._rows)
            batch = self._next()
            is_skipped = row >= self._start + len(batch)
            self._rows = [{}] * len(batch) if is_skipped else batch.to_pylist()
        return self._rows[row - self._start]

    def _next(self) -> Any:
        try:
            return next(self._batches)
        except (OSError, StopIteration, require_arrow().ArrowException) as error:
            reason = " ".join(str(error).split()) or "it ends early"
            raise InputError(
                f"{printable(self.path)}: damaged after row {self._start} ({reason})."
            ) from error


def open_parquet(path: str) -> Any:
    """Open a Parquet file.

    Raises:
        InputError: if it cannot be read.
    """
    arrow = require_arrow()
    try:
        # Names that are not UTF-8 can be opened as bytes only.
        file = arrow.OSFile(os.fsencode(path))
        # Pages are read when they are needed, so memory does not grow with the row groups.
        return arrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=2**20)
    except (OSError, ValueError, arrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{printable(path)}: cannot be read as Parquet ({printable(reason)})."
        ) from error


def _column_of(path: str, names: Sequence[str]) -> str:
    """The column that holds the images, by its name."""
    for name in COLUMNS:
        if name in names:
            return name
    raise InputError(
        f"{printable(path)}: expected a column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}, "
        f"but it has {', '.join(names)}; say which one holds images (--column)."
    )


def _kind(path: str, field: Any) -> str:
    """Return "paths" or "bytes", which a column holds.

    Raises:
        InputError: if it holds neither.
    """
    types = require_arrow().types
    value_type = field.type.value_type if types.is_dictionary(field.type) else field.type
    if types.is_struct(value_type):
        members = [value_type.field(i).name for i in range(value_type.num_fields)]
        if "bytes" in members:
            value_type = value_type.field("bytes").type
    if types.is_string(value_type) or types.is_large_string(value_type):
        return "paths"
    if types.is_binary(value_type) or types.is_large_binary(value_type):
        return "bytes"
    raise InputError(
        f"{printable(path)}: expected paths or bytes in column {field.name!r}, "
        f"but got {field.type}."
    )
