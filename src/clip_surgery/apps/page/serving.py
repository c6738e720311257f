"""Serving: the page on an address, private to this process and to each visitor.

Offline: nothing is fetched, neither for the page itself nor for a visitor who sends a link instead
of a picture, and nothing is reported. Uploaded files lie in a folder of this process alone, under
names that cannot be guessed, are deleted after a while, and the folder goes with the process.
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
_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "GRADIO_SHARE": "False",
}


def require_gradio() -> None:
    """Refuse to go on without Gradio, before a model is loaded.

    Raises:
        MissingExtraError: when it is not installed; the message is the pip command.
    """
    if importlib.util.find_spec("gradio") is None:
        raise MissingExtraError.of("page", "gradio")


@contextmanager
def serving(actions: Actions, *, host: str = LOOPBACK, port: int | None = None) -> Iterator[str]:
    """Serve the page while the context lasts; what comes out is its address.

    Args:
        actions: what the page does.
        host: the address to listen on; only this machine reaches the default.
        port: None takes any that is free.

    Raises:
        MissingExtraError: when Gradio is not installed.
        InputError: when the address cannot be listened on.
    """
    require_gradio()
    with _quiet_environment(), _no_fetching():
        from clip_surgery.apps.page.page import build

        page = build(actions)
        try:
            with _addressed(host, port) as free:
                _, address, _ = page.launch(**_settings(actions, host, free))
            yield str(address)
        finally:
            page.close(verbose=False)


def _settings(actions: Actions, host: str, port: int) -> dict[str, Any]:
    from clip_surgery.apps.page.theme import STYLE, theme

    return {
        "server_name": host,
        "server_port": port,
        "share": False,
        "quiet": True,
        "prevent_thread_lock": True,
        "show_error": False,  # messages of unexpected errors name files of this machine
        "max_file_size": f"{actions.limits.file_mb}mb",
        "state_session_capacity": actions.limits.visitors,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api"],
        "ssr_mode": False,
        "pwa": False,
        "mcp_server": False,
        "theme": theme(),
        "css": STYLE,
    }


@contextmanager
def _quiet_environment() -> Iterator[None]:
    """No reports, and a folder for files that only this process can open."""
    with tempfile.TemporaryDirectory(prefix="clip-surgery-page-") as folder:
        settings = {**_QUIET, "GRADIO_TEMP_DIR": str(Path(folder).resolve())}
        before = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


@contextmanager
def _no_fetching() -> Iterator[None]:
    """Gradio downloads a link that is sent in place of a file; this page does not."""
    from gradio import Error, processing_utils

    async def refuse(*_: object, **__: object) -> str:
        raise Error("Pictures are uploaded, not fetched from a link.", print_exception=False)

    names = ("async_ssrf_protected_download", "ssrf_protected_download")
    before = {name: getattr(processing_utils, name) for name in names}
    for name in names:
        setattr(processing_utils, name, refuse)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(processing_utils, name, function)


@contextmanager
def _addressed(host: str, port: int | None) -> Iterator[int]:
    """The port, or a free one, with one line for an address that cannot be had."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port or 0))
            free = int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{host}:{port}: cannot be listened on ({reason}).") from error
    yield free
