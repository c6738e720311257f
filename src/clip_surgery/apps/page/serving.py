"""Serve the page on an address.

The page works offline: nothing is fetched, neither for the page itself nor for a visitor who sends
a link instead of an image, and no usage statistics are sent. Uploaded files are in a temporary
folder that only this process uses. They are deleted after a while, and the folder is deleted when
the process ends.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clip_surgery.apps.page.actions import Actions
from clip_surgery.errors import InputError, MissingExtraError

LOOPBACK = "127.0.0.1"
PORT = 7860
_OFFLINE_SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_SHARE": "False",
}


def require_gradio() -> None:
    """Check that Gradio is installed, before a model is loaded.

    Raises:
        MissingExtraError: if it is not installed; the message is the pip command.
    """
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtraError.of("page", "gradio")


@contextmanager
def serving(actions: Actions, *, host: str = LOOPBACK, port: int | None = None) -> Iterator[str]:
    """Serve the page while the context lasts, and yield its address.

    Args:
        actions: the computations of the page.
        host: the address to listen on. The default can be reached from this machine only.
        port: the port, or None for any that is free.

    Raises:
        MissingExtraError: if Gradio is not installed.
        InputError: if the page cannot listen on the address.
    """
    require_gradio()
    with _private_environment() as folder, _no_downloads():
        from clip_surgery.apps.page.page import build

        page = build(actions)
        try:
            free_port = _free_port(host, port)
            _, address, _ = page.launch(**_launch_settings(actions, host, free_port, folder))
            yield str(address)
        finally:
            page.close(verbose=False)


def _launch_settings(actions: Actions, host: str, port: int, folder: Path) -> dict[str, Any]:
    from starlette.middleware import Middleware

    from clip_surgery.apps.page.protection import RequestCheck
    from clip_surgery.apps.page.theme import SCRIPT, STYLE, theme

    check = Middleware(RequestCheck, limits=actions.limits, folder=folder)
    return {
        "server_name": host,
        "server_port": port,
        "share": False,
        "quiet": True,
        "prevent_thread_lock": True,
        "show_error": False,  # Messages of unexpected errors may name files of this machine.
        "max_file_size": f"{actions.limits.file_mb}mb",
        "state_session_capacity": actions.limits.sessions,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api"],
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "app_kwargs": {"middleware": [check]},
        "theme": theme(),
        "css": STYLE,
        "head": f"<script>{SCRIPT}</script>",
    }


@contextmanager
def _private_environment() -> Iterator[Path]:
    """Set Gradio to send no statistics and to use a private folder, and yield that folder."""
    with tempfile.TemporaryDirectory(prefix="clip-surgery-page-") as name:
        folder = Path(name).resolve()
        settings = {**_OFFLINE_SETTINGS, "GRADIO_TEMP_DIR": str(folder)}
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield folder
        finally:
            for variable, value in before.items():
                if value is None:
                    del os.environ[variable]
                else:
                    os.environ[variable] = value


@contextmanager
def _no_downloads() -> Iterator[None]:
    """Replace the functions with which Gradio downloads a link that is sent instead of a file."""
    from gradio import Error, processing_utils

    async def refuse(*_: object, **__: object) -> str:
        raise Error("Images are uploaded, not fetched from a link.", print_exception=False)

    names = ("async_ssrf_protected_download", "ssrf_protected_download")
    before = {name: getattr(processing_utils, name) for name in names}
    for name in names:
        setattr(processing_utils, name, refuse)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(processing_utils, name, function)


def _free_port(host: str, port: int | None) -> int:
    """The given port, or a free one, after a check that the server can listen on it."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port or 0))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{host}:{port}: cannot be listened on ({reason}).") from error
