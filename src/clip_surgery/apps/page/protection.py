"""Requests are checked before Gradio reads them: their size, their form, and their address.

Gradio reads the body of a request whole, whatever its size, and answers some malformed ones with
an error of the server. It also offers functions that this page does not need.
"""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from clip_surgery.apps.page.limits import Limits

Scope = Any
LOG = logging.getLogger(__name__)
API = "/gradio_api/"
CALLS = ("queue/join", "call/", "run/", "api/")
"""Addresses that run a function of the page."""
CLOSED = ("process_recording", "component_server", "proxy=", "deep_link", "vibe", "call/v2/")
"""Addresses of Gradio that the page does not need: they read files, or fetch other addresses."""
MB, KB = 1_000_000, 1_000


class RequestCheck:
    """An ASGI middleware that refuses requests which are too large, malformed or not needed."""

    def __init__(self, app: Any, *, limits: Limits, folder: Path) -> None:
        self.app, self.limits, self.folder = app, limits, folder

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on, or answer it with a message."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        address = _address(scope)
        if address.startswith(CLOSED):
            await _answer(send, 404, "Not found.")
        elif scope["method"] != "POST":
            await self.app(scope, receive, send)
        elif address.startswith("upload") and self._folder_is_full():
            await _answer(send, 507, "The page holds too many files. Try again in some minutes.")
        else:
            await self._pass_on(scope, receive, send, address)

    def _folder_is_full(self) -> bool:
        sizes = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                try:
                    sizes += os.lstat(os.path.join(folder, name)).st_size
                except OSError:  # deleted in between
                    continue
        return sizes >= self.limits.folder_mb * MB

    async def _pass_on(self, scope: Scope, receive: Any, send: Any, address: str) -> None:
        upload = address.startswith("upload")
        limit = (self.limits.file_mb + 1) * MB + 65_536 if upload else self.limits.request_kb * KB
        body = _BoundedBody(receive, limit)
        started = False

        async def watched_send(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            if not upload:
                content = await body.read_all()
                if address.startswith(CALLS) and not _is_call(content):
                    await _answer(send, 400, "Expected a JSON object with a list named 'data'.")
                    return
            await self.app(scope, body.receive, watched_send)
        except _TooLargeError:
            await _answer(send, 413, f"The request is larger than {limit // KB:,} kB.")
        except Exception as error:
            LOG.warning("%s: %s", address.split("/", maxsplit=1)[0], type(error).__name__)
            if not started:
                await _answer(send, 400, "The request could not be understood.")


class _TooLargeError(Exception):
    """A request body is over its limit."""


class _BoundedBody:
    """The body of a request, with a limit of its size in bytes."""

    def __init__(self, receive: Any, limit: int) -> None:
        self._receive, self._limit, self._size = receive, limit, 0
        self._read: list[Any] = []

    async def receive(self) -> Any:
        """Return the next message of the client, those that were read before first."""
        if self._read:
            return self._read.pop(0)
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise _TooLargeError
        return message

    async def read_all(self) -> bytes:
        """Return the whole body; `receive` gives it once more."""
        parts, messages = [], []
        while True:
            message = await self.receive()
            messages.append(message)
            parts.append(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        self._read = messages
        return b"".join(parts)


def _address(scope: Scope) -> str:
    """The part of the path after Gradio's prefix, without repeated or leading slashes."""
    path: str = scope.get("path", "")
    return path.removeprefix(API.rstrip("/")).lstrip("/")


def _is_call(content: bytes) -> bool:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("data"), list)


async def _answer(send: Any, status: int, message: str) -> None:
    content = json.dumps({"detail": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
