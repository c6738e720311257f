"""Requests: what a browser or client sends, and how it is told that something is not possible.

Nothing that comes is trusted: Gradio's own reading of values is left out for pictures, because it
opens files before this library can say what is wrong with them.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable
from functools import wraps
from pathlib import Path, PurePath
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from clip_surgery.apps.page.actions import Actions
from clip_surgery.errors import ClipSurgeryError, InputError
from clip_surgery.inputs.images import InputImage

P = ParamSpec("P")
T = TypeVar("T")
LOG = logging.getLogger(__name__)
SECONDS = 8  # that a message stays


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
        raise InputError("Expected an uploaded picture.")
    name = PurePath(str(sent.get("orig_name") or "picture")).name
    if not Path(path).is_file():  # deleted after a while; its path is nobody's business
        raise InputError(f"{name}: no longer kept by the page; choose it again.")
    return actions.read_picture(path, name)


def read_number(value: Any, name: str, *, low: float, high: float) -> float:
    """A number within a range.

    Raises:
        InputError: for anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"Expected {name} within {low:g} to {high:g}, but got {value!r}.")
    return float(value)
