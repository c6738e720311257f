"""Suppression of messages that C libraries print while they decode an image.

libtiff writes warnings about odd tags to the standard error of the process itself, where Python
cannot catch them and where they would mix with the messages of the command line.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FORMATS_THAT_PRINT = frozenset({"TIFF"})
_STANDARD_ERROR = 2
_lock = threading.Lock()


@contextmanager
def without_decoder_messages(image_format: str | None) -> Iterator[None]:
    """Discard what is written to standard error, if the decoder of this format writes to it.

    Standard error belongs to the whole process. One thread at a time redirects it, and only while
    an image of such a format is decoded.

    Args:
        image_format: format as Pillow names it, such as "TIFF".
    """
    if image_format not in _FORMATS_THAT_PRINT:
        yield
        return
    with _lock:
        try:
            saved = os.dup(_STANDARD_ERROR)
        except OSError:  # the process has no standard error
            yield
            return
        try:
            _redirect()
            yield
        finally:
            os.dup2(saved, _STANDARD_ERROR)
            os.close(saved)


def _redirect() -> None:
    """Write pending output to standard error, then redirect it to the null device."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, _STANDARD_ERROR)
    os.close(null)
