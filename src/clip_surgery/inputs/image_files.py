"""Reading of the bytes of an image file: only regular files, and only up to a limited size."""

from __future__ import annotations

import os
import stat

from clip_surgery.errors import InputError
from clip_surgery.inputs.names import printable

MAX_BYTES = 256 * 2**20
"""Default limit of the size of an image file in bytes."""

_NON_BLOCKING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Without it, opening a pipe that no process writes to would wait for ever."""


def read_file(path: str | os.PathLike[str], *, name: str, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file; pipes and devices could block or never end.

    Args:
        path: path of the file.
        name: name of the file in error messages.
        max_bytes: maximum size of the file in bytes.

    Raises:
        InputError: if the path is a URL, does not exist, is a folder, a pipe or a device, cannot
            be read, or is larger than `max_bytes`.
    """
    refuse_url(os.fspath(path), name=name)
    try:
        descriptor = os.open(path, os.O_RDONLY | _NON_BLOCKING)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"{name}: a folder, not an image.")
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name}: expected a regular file, not a pipe or a device.")
            content = file.read(max_bytes + 1) if status.st_size <= max_bytes else None
    except FileNotFoundError:
        raise InputError(f"{name}: no such file.") from None
    except IsADirectoryError:
        raise InputError(f"{name}: a folder, not an image.") from None
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{name}: cannot be read ({reason_in_one_line(error)}).") from error
    if content is None or len(content) > max_bytes:
        raise InputError(f"{name}: larger than the limit of {max_bytes / 2**20:g} MiB.")
    return content


def refuse_url(path: str, *, name: str) -> None:
    """Raise an error that says to download the image first, if the path is a URL.

    Raises:
        InputError: if the path starts with "http://" or "https://".
    """
    if path.lower().startswith(("http://", "https://")):
        raise InputError(f"{printable(name)}: images are read from files; download it first.")


def reason_in_one_line(error: BaseException) -> str:
    """Return the message of an exception in one line, or the name of its type without a message."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
