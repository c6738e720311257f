"""Read and check the values that a browser or a program sends, and return errors as messages.

No value is trusted. Gradio does not read the values itself (see `page.Page`), because it would open
files before this library can check them.
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
from gradio.context import LocalContext
from gradio.utils import get_upload_folder

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.messages import page_message
from clip_surgery.apps.page.stopping import is_stopped, watched
from clip_surgery.batch_splitting import is_out_of_memory
from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage
from clip_surgery.inputs.names import printable

P = ParamSpec("P")
T = TypeVar("T")
LOG = logging.getLogger(__name__)
MESSAGE_SECONDS = 8
NAME_CHARACTERS = 200
"""Maximum number of characters of a file name that are shown."""


def with_messages(action: Callable[P, T]) -> Callable[P, T]:
    """Return the action with its errors converted to messages of the page.

    The action stops when the visitor that called it leaves.
    """

    @wraps(action)
    def run(*values: P.args, **named: P.kwargs) -> T:
        try:
            with watched(_abandonment_check()):
                return action(*values, **named)
        except ClipSurgeryError as error:
            raise _message(page_message(error), "Not possible") from None
        except gr.Error:
            raise
        except Exception as error:
            LOG.exception("%s failed", action.__name__)
            cause = "out of memory" if is_out_of_memory(error) else type(error).__name__
            raise _message(f"The server failed ({cause}); its log says more.", "Failed") from None

    return run


def warn(error: ClipSurgeryError) -> None:
    """Show an error as a message, and continue."""
    gr.Warning(_one_line(page_message(error)), duration=MESSAGE_SECONDS, title="Not possible")


def _abandonment_check() -> Callable[[], bool] | None:
    """A function that returns whether the visitor of the current request left or stopped it.

    Gradio marks the events of a client that disconnects as not alive. None if the current call
    does not come from Gradio's queue.
    """
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event_id is None:
        return None
    for jobs in blocks._queue.active_jobs:
        for job in jobs or ():
            if job._id == event_id:
                return lambda: not job.alive or is_stopped(event_id)
    return None


def _message(text: str, title: str) -> gr.Error:
    return gr.Error(_one_line(text), duration=MESSAGE_SECONDS, title=title, print_exception=False)


def _one_line(text: str) -> str:
    """The text on one line with control characters escaped, as HTML, which messages are."""
    return html.escape(printable(" ".join(text.split())), quote=False)


def read_upload(actions: Actions, value: Any) -> InputImage:
    """Read the image of an uploaded file.

    Args:
        actions: the actions of the page, for their limits.
        value: what was sent for an image: a dictionary with the path of the upload.

    Raises:
        InputError: if there is no image, or it is not a file that was uploaded to this page, or
            not an image that the page takes.
    """
    if value is None:
        return actions.prepare_image(None)
    path = value.get("path") if isinstance(value, dict) else None
    if not isinstance(path, str):
        raise InputError("Expected an uploaded image.")
    if path.lower().startswith(("http://", "https://")):
        raise InputError("Images are uploaded, not fetched from a link.")
    original_name = value.get("orig_name")
    name = PurePath(original_name).name if isinstance(original_name, str) else ""
    name = printable(name)[:NAME_CHARACTERS] or "image"
    content = _uploaded_content(Path(get_upload_folder()), path, actions.limits.file_mb * 2**20)
    if content is None:
        raise InputError(f"{name}: no longer kept by the page; choose it again.")
    return actions.prepare_image(content, name)


def read_query(actions: Actions, text: Any, image: Any) -> Any:
    """Return the image that a visitor chose to compare with, or the text if there is none.

    Raises:
        InputError: if the image cannot be used. Texts are checked by `Actions.match`.
    """
    return text if image is None else read_upload(actions, image)


def drop_unusable(actions: Actions, image: Any) -> Any:
    """Return None for an upload that cannot be used, with a message, and otherwise no change."""
    if image is not None:
        try:
            read_upload(actions, image)
        except InputError as error:
            warn(error)
            return None
    return gr.skip()


def _uploaded_content(folder: Path, path: str, max_bytes: int) -> bytes | None:
    """Return the content of a file that was uploaded to this server, and None for all others.

    A request can name any file. Only regular files whose real path is inside of the upload folder
    are read. All others give the same answer, so that a request cannot find out whether a file
    exists.
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
    """Return a number from `low` to `high`, both included.

    Raises:
        InputError: for a smaller or larger number, NaN, or a value that is not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        shown = f"{value:g}" if isinstance(value, int | float) else type(value).__name__
        raise InputError(f"Expected {name} from {low:g} to {high:g}, but got {shown[:40]}.")
    return float(value)


def read_choice(value: Any, name: str, choices: tuple[str, ...]) -> str:
    """Return a text that is one of `choices`.

    Raises:
        InputError: for any other value.
    """
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"Expected {name} to be one of {', '.join(choices)}.")
    return value


def read_point(event: gr.EventData, size: Size) -> tuple[float, float]:
    """Return the point (x, y) in pixels of an image that a visitor clicked.

    Args:
        event: the click, with x and y as shares of width and height.
        size: size of the image.

    Raises:
        InputError: for a click that is not in the image.
    """
    x, y = (read_number(getattr(event, axis, None), axis, low=0, high=1) for axis in ("x", "y"))
    return (min(x * size.width, size.width - 1), min(y * size.height, size.height - 1))
