"""Requests: what a browser or client sends, and how it is told that something is not possible.

Nothing that comes is trusted: Gradio's own reading of values is left out for pictures, because it
opens files before this library can say what is wrong with them.
"""

from __future__ import annotations

import html
import logging
import os
import stat
from collections.abc import Callable
from functools import wraps
from pathlib import Path, PurePath
from typing import Any, ParamSpec, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder

from clip_surgery.apps.page.actions import Actions
from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.inputs.images import InputImage
from clip_surgery.inputs.names import printable

P = ParamSpec("P")
T = TypeVar("T")
LOG = logging.getLogger(__name__)
SECONDS = 8  # that a message stays
LONGEST_NAME = 200  # letters of a file name that are shown


def told(action: Callable[P, T]) -> Callable[P, T]:
    """The action, its errors as one line in the page instead of a failure of the server."""

    @wraps(action)
    def run(*given: P.args, **named: P.kwargs) -> T:
        try:
            return action(*given, **named)
        except ClipSurgeryError as error:
            raise _message(str(error), "Not possible") from None
        except gr.Error:
            raise
        except Exception as error:
            LOG.exception("%s failed", action.__name__)
            what = "out of memory" if isinstance(error, MemoryError) else type(error).__name__
            raise _message(f"The server failed ({what}); its log says more.", "Failed") from None

    return run


def warn(error: ClipSurgeryError) -> None:
    """Show an error as one line, and go on."""
    gr.Warning(_one_line(str(error)), duration=SECONDS, title="Not possible")


def _message(text: str, title: str) -> gr.Error:
    return gr.Error(_one_line(text), duration=SECONDS, title=title, print_exception=False)


def _one_line(text: str) -> str:
    # the page shows messages as HTML
    return html.escape(" ".join(text.split()), quote=False)


def read_upload(actions: Actions, sent: Any) -> InputImage:
    """The picture of a file that Gradio took in (and found to be one of its uploads).

    Raises:
        InputError: when there is none, or it is no picture that the page takes.
    """
    if sent is None:
        return actions.read_picture(None)
    path = sent.get("path") if isinstance(sent, dict) else None
    if not isinstance(path, str):
        raise InputError("Expected an uploaded image.")
    original_name = sent.get("orig_name")
    name = PurePath(original_name).name if isinstance(original_name, str) else ""
    name = printable(name)[:LONGEST_NAME] or "image"
    content = _uploaded_content(Path(get_upload_folder()), path, actions.limits.file_mb * 2**20)
    if content is None:
        raise InputError(f"{name}: no longer kept by the page; choose it again.")
    return actions.read_picture(content, name)


def _uploaded_content(folder: Path, path: str, max_bytes: int) -> bytes | None:
    """Return the content of a file that was uploaded to this server, and None for all others.

    Gradio checks a path only if the request contains certain metadata, so a request can name any
    file. Only regular files whose real path is inside of the upload folder are read. All others
    give the same answer, so that a request cannot find out whether a file exists.
    """
    try:
        real = Path(os.path.realpath(path, strict=True))
        if not real.is_relative_to(os.path.realpath(folder, strict=True)):
            return None
        descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
                return None
            return file.read(max_bytes)
    except (OSError, ValueError):
        return None


def read_number(value: Any, name: str, *, low: float, high: float) -> float:
    """A number within a range.

    Raises:
        InputError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"Expected {name} within {low:g} to {high:g}, but got {value!r}.")
    return float(value)
