"""Sources: the images of a job, in an order that never changes, so that it can be cut in shards.

A source is small (names, not images), goes to other processes, and says by a digest what it
lists: results of one listing must not be taken for those of another.
"""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from clip_surgery.apps.batch.items import Item, Source
from clip_surgery.apps.batch.parquet_tables import TableSource
from clip_surgery.errors import InputError
from clip_surgery.inputs.image_folders import list_images

TABLE_SUFFIXES = frozenset({".parquet", ".pq", ".parq"})


@dataclass(frozen=True)
class FileSource:
    """Image files.

    Attributes:
        paths: as they are called in results.
        folder: where relative ones are looked for, also by processes that run elsewhere.

    Example:
        >>> source = FileSource(("a.png", "b.png"), folder="pictures")
        >>> [item.name for item in source.items(1, 2)]
        ['b.png']
    """

    paths: tuple[str, ...]
    folder: str

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.paths)

    def digest(self) -> str:
        """Names and sizes of all files: an image that was replaced is noticed."""
        listed = hashlib.sha256()
        for item in self.items(0, len(self)):
            listed.update(f"{item.name}\0{_size_of(str(item.content))}\0".encode(errors="replace"))
        return listed.hexdigest()[:16]

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The images from `start` up to `stop`, each with the path it is read from."""
        for index in range(start, min(stop, len(self))):
            yield Item(index, self.paths[index], os.path.join(self.folder, self.paths[index]))


def open_source(
    given: Sequence[str | os.PathLike[str]], *, column: str | None = None, key: str | None = None
) -> Source:
    """Find the images that paths, folders, glob patterns or Parquet files name.

    Parquet holds paths or the bytes of image files in `column` (if None, the first there is of
    "path", "image", "bytes"); `key` is the column that names the images. Files are listed as
    `list_images` does.

    Raises:
        InputError: when there is no image, a path or column does not exist, or images and
            Parquet are mixed.
        MissingExtraError: for Parquet without pyarrow.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/grey.png")
        ...     len(open_source([folder]))
        1
    """
    tables = [_tables_in(os.fspath(one)) for one in given]
    if not any(tables):
        for option, value in (("column", column), ("key", key)):
            if value is not None:
                raise InputError(f"{option} {value!r} is for Parquet, but the source is files.")
        paths = tuple(os.fspath(path) for path in list_images(given))
        if not paths:
            raise InputError("Expected a folder, pattern or Parquet of images, but got none.")
        return FileSource(paths, folder=os.getcwd())
    for one, found in zip(given, tables, strict=True):
        if not found:
            raise InputError(f"{os.fspath(one)}: expected Parquet only, or none, but got both.")
    paths = tuple(dict.fromkeys(path for found in tables for path in found))
    return TableSource.open(paths, column=column, key=key)


def _tables_in(given: str) -> list[str]:
    """The Parquet files that a path, folder or pattern names."""
    if os.path.isdir(given):
        matches = [os.path.join(given, name) for name in os.listdir(given)]
    elif os.path.exists(given):
        return [given] if _is_table(given) else []
    else:
        matches = glob.glob(given, recursive=True) if glob.has_magic(given) else []
    return sorted(path for path in matches if _is_table(path) and os.path.isfile(path))


def _is_table(path: str) -> bool:
    named = Path(path)
    return named.suffix.lower() in TABLE_SUFFIXES and not named.name.startswith((".", "_"))


def _size_of(path: str) -> int | None:
    """Bytes of a file; None when it went away, which is told when it is read."""
    try:
        return os.stat(path).st_size
    except OSError:
        return None
