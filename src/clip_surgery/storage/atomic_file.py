"""Atomic writing: a file is complete or absent, even if the writer is killed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

PARTIAL = ".partial"
"""Suffix of the names of incomplete files."""


@contextmanager
def writing_atomically(path: Path, *, durable: bool = False) -> Iterator[BinaryIO]:
    """Yield an open file that replaces `path` when the block ends, and is removed if it raises.

    Until then the file has a hidden, unique name in the same folder, so that several writers of
    one file do not disturb each other.

    Args:
        path: the file to write or to replace.
        durable: write file and name to the disk before returning, so that they survive a power cut.

    Raises:
        OSError: if the file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with writing_atomically(Path(folder, "note.txt")) as file:
        ...         _ = file.write(b"complete")
        ...     Path(folder, "note.txt").read_text()
        'complete'
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex[:12]}{PARTIAL}")
    try:
        with partial.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    if durable:
        _sync_folder(path.parent)


@contextmanager
def replacing_atomically(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file with the same suffix that replaces `path` at the end.

    This is for writers that need a path and not an open file. If the block raises, the temporary
    file is removed and `path` keeps its old content.

    Raises:
        OSError: if the file cannot be written or moved.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing_atomically(Path(folder, "note.txt")) as temporary:
        ...         _ = temporary.write_text("complete")
        ...     Path(folder, "note.txt").read_text()
        'complete'
    """
    temporary = path.with_name(f".{uuid4().hex[:12]}{PARTIAL}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_partial(folder: Path) -> None:
    """Remove the incomplete files of killed writers from a folder."""
    for path in folder.glob(f".*{PARTIAL}"):
        path.unlink(missing_ok=True)


def name_when_whole(name: str) -> str | None:
    """Return the final name of an incomplete file of `writing_atomically`; None for other names.

    Example:
        >>> name_when_whole(".note.txt.0123456789ab.partial"), name_when_whole("note.txt")
        ('note.txt', None)
    """
    match = re.fullmatch(rf"\.(.+)\.[0-9a-f]{{12}}{re.escape(PARTIAL)}", name)
    return match and match[1]


def _sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, on systems where a folder can be opened."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
