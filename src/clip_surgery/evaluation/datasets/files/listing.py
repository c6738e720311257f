"""Lists of the files of a data set, and the check that all of them exist."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable


def read_text(path: Path, *, encoding: str = "utf-8") -> str:
    """Read a text file of a data set.

    Raises:
        InputError: if the file is missing, cannot be read or is not UTF-8; the message names the
            line of the first byte that is not UTF-8.
    """
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the path contains NUL
        raise InputError(f"{printable(path)}: cannot be read ({error}).") from error
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{printable(path)}: cannot be read as UTF-8 text (line {line} has the byte "
            f"0x{content[error.start]:02x})."
        ) from error


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file that are not empty, without spaces around them.

    Raises:
        InputError: if the file cannot be read, is not UTF-8 or is empty.
    """
    lines = [line.strip() for line in read_text(path).splitlines()]
    if not any(lines):
        raise InputError(f"{printable(path)}: expected one entry per line, but the file is empty.")
    return [line for line in lines if line]


def check_files(paths: Sequence[Path], description: str) -> None:
    """Check that files exist. Each folder is listed once.

    Args:
        paths: the files.
        description: what the files are, for the error message.

    Raises:
        InputError: if files are missing, with their number and examples, or a folder cannot be
            listed.
    """
    names_in = {folder: _names_in(folder) for folder in {path.parent for path in paths}}
    missing = [printable(path.name) for path in paths if path.name not in names_in[path.parent]]
    if missing:
        examples = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise InputError(f"{description}: {len(missing)} of {len(paths)} are missing ({examples}).")


def listed(listing: Sequence[str]) -> str:
    """Return the number of names in a list and a hash of them, for the `repr` of a data set.

    Example:
        >>> listed(["a", "b"])
        '2 (59b271ae)'
    """
    text = "\0".join(listing).encode("utf-8", "surrogatepass")  # file names may be any bytes
    return f"{len(listing)} ({sha256(text).hexdigest()[:8]})"


def _names_in(folder: Path) -> set[str]:
    """The names of the entries of a folder; none if it does not exist."""
    try:
        return {entry.name for entry in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return set()
    except OSError as error:
        raise InputError(f"{printable(folder)}: cannot be listed ({error.strerror}).") from error
