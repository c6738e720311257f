"""Find the images of a job: files, or rows of Parquet files.

The order of the images never changes, so that they can be divided into shards by index.
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
from clip_surgery.inputs.names import printable

TABLE_SUFFIXES = frozenset({".parquet", ".pq", ".parq"})


@dataclass(frozen=True)
class FileSource:
    """Image files.

    Attributes:
        paths: the paths, which are also the names of the images in results.
        folder: the folder of relative paths, also for processes that run elsewhere.

    Example:
        >>> source = FileSource(("a.png", "b.png"), folder="photos")
        >>> [item.name for item in source.items(1, 2)]
        ['b.png']
    """

    paths: tuple[str, ...]
    folder: str

    def __len__(self) -> int:
        """Number of images."""
        return len(self.paths)

    def digest(self) -> str:
        """Digits that change with the name or the size of any file."""
        names_and_sizes = hashlib.sha256()
        for item in self.items(0, len(self)):
            entry = f"{item.name}\0{_file_size(str(item.content))}\0"
            names_and_sizes.update(entry.encode(errors="surrogatepass"))
        return names_and_sizes.hexdigest()[:16]

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The images from index `start` up to `stop`, with the paths to read them from."""
        for index in range(start, min(stop, len(self))):
            yield Item(index, self.paths[index], os.path.join(self.folder, self.paths[index]))


def open_source(
    given: Sequence[str | os.PathLike[str]], *, column: str | None = None, key: str | None = None
) -> Source:
    """Find the images that paths, folders, glob patterns or Parquet files name.

    Args:
        given: image files, folders and patterns as for `list_images`, or Parquet files, folders
            and patterns of them.
        column: for Parquet, the column with paths or with the bytes of image files. If None, the
            first of "path", "image" and "bytes" that exists.
        key: for Parquet, the column with the names of the images. If None, the paths, or for bytes
            the first of "key", "id" and "name" that exists.

    Returns:
        The images in a fixed order.

    Raises:
        InputError: if there is no image, a path or column does not exist, or images and Parquet
            are mixed.
        MissingExtraError: if Parquet is given and pyarrow is not installed.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(f"{folder}/grey.png")
        ...     len(open_source([folder]))
        1
    """
    tables_per_argument = [_tables_in(os.fspath(argument)) for argument in given]
    if not any(tables_per_argument):
        for option, value in (("column", column), ("key", key)):
            if value is not None:
                raise InputError(f"{option} {value!r} is for Parquet, but the source is files.")
        paths = tuple(os.fspath(path) for path in list_images(given))
        if not paths:
            raise InputError("Expected a folder, pattern or Parquet of images, but got none.")
        return FileSource(paths, folder=os.getcwd())
    for argument, tables in zip(given, tables_per_argument, strict=True):
        if not tables:
            raise InputError(
                f"{printable(argument)}: expected Parquet only, or none, but got both."
            )
    paths = tuple(dict.fromkeys(path for tables in tables_per_argument for path in tables))
    return TableSource.open(paths, column=column, key=key)


def _tables_in(given: str) -> list[str]:
    """The Parquet files that a path, folder or pattern names."""
    try:
        if os.path.isdir(given):
            matches = [os.path.join(given, name) for name in os.listdir(given)]
        elif os.path.exists(given):
            return [given] if _is_table(given) else []
        else:
            matches = glob.glob(given, recursive=True) if glob.has_magic(given) else []
    except (OSError, ValueError):  # unreadable, or a path with NUL: `list_images` has a message
        return []
    return sorted(path for path in matches if _is_table(path) and os.path.isfile(path))


def _is_table(path: str) -> bool:
    file = Path(path)
    return file.suffix.lower() in TABLE_SUFFIXES and not file.name.startswith((".", "_"))


def _file_size(path: str) -> int | None:
    """Bytes of a file; None if it is missing, which is reported when it is read."""
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return None
