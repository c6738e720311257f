"""Listings: which images a data set has, in what order, and whether all files are there."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from clip_surgery.errors import InputError


def read_lines(path: Path) -> list[str]:
    """The lines of a text file that are not empty.

    Raises:
        InputError: when it cannot be read, or is empty.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}).") from error
    if not any(lines):
        raise InputError(f"{path}: expected one entry a line, but the file is empty.")
    return [line for line in lines if line]


def check_files(paths: Sequence[Path], what: str) -> None:
    """Make sure that all these files exist; each folder is listed once.

    Raises:
        InputError: says how many are missing, with examples.
    """
    there = {
        folder: {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
        for folder in {path.parent for path in paths}
    }
    missing = [path.name for path in paths if path.name not in there[path.parent]]
    if missing:
        examples = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(f"{what}: {len(missing)} of {len(paths)} are missing ({examples}).")


def listed(listing: Sequence[str]) -> str:
    """How many images, and digits that change with any of their names: for a data set's record.

    Example:
        >>> listed(["a", "b"])
        '2 (59b271ae)'
    """
    text = "\0".join(listing).encode("utf-8", "surrogatepass")  # names of files may be any bytes
    return f"{len(listing)} ({sha256(text).hexdigest()[:8]})"
