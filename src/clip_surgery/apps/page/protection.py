"""Check size, form and address of requests before Gradio reads them.

Gradio reads the whole body of a request, whatever its size, and responds to some malformed requests
with an internal server error. It also offers functions that this page does not need.
"""

from __future__ import annotations

import json
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.stopping import stop_event

Scope = Any
LOG = logging.getLogger(__name__)
API = "/gradio_api/"
CALLS = ("queue/join", "call/", "run/", "api/")
"""Addresses that run a function of the page."""
CLOSED = ("process_recording", "component_server", "proxy=", "deep_link", "vibe", "call/v2/")
"""Addresses of Gradio that the page does not need: they read files, or fetch other addresses."""
UNAVAILABLE = 503
QUEUE_IS_FULL = "The queue is full: too many visitors are waiting. Try again in a moment."
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
        response = _Response(send)
        try:
            if address.startswith(CLOSED):
                await response.refuse(404, "Not found.")
            elif scope["method"] != "POST":
                await self.app(scope, receive, response.send)
            elif address.startswith("upload"):
                await self._upload(scope, receive, response)
            else:
                await self._call(scope, receive, response, address)
        except _TooLargeError as error:
            await response.refuse(413, str(error))
        except Exception as error:
            LOG.warning("%s: %s", address.split("/", maxsplit=1)[0], type(error).__name__)
            await response.refuse(400, "The request could not be understood.")

    async def _upload(self, scope: Scope, receive: Any, response: _Response) -> None:
        """Receive a file, with its multipart headers."""
        if self._folder_is_full():
            await response.refuse(507, "The page holds too many files. Try again in some minutes.")
            return
        body = _BoundedBody(receive, (self.limits.file_mb + 1) * MB + self.limits.request_kb * KB)
        await self.app(scope, body.receive, response.send)

    async def _call(self, scope: Scope, receive: Any, response: _Response, address: str) -> None:
        """Check the JSON of a request before it is passed on."""
        body = _BoundedBody(receive, self.limits.request_kb * KB)
        content = await body.read_all()
        if address == "cancel":
            stop_event(_event_id(content))
        if address.startswith(CALLS) and not _is_call(content):
            await response.refuse(400, "Expected a JSON object with a list named 'data'.")
        else:
            await self.app(scope, body.receive, response.send)

    def _folder_is_full(self) -> bool:
        size = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                with suppress(OSError):  # The file may have been deleted in between.
                    size += os.lstat(os.path.join(folder, name)).st_size
        return size >= self.limits.folder_mb * MB


class _Response:
    """The response to a request, which is refused only if it has not begun."""

    def __init__(self, send: Any) -> None:
        self._send, self._began, self._queue_is_full = send, False, False

    async def send(self, message: Any) -> None:
        """Send a part of the response; a full queue is told in words of the page."""
        if message["type"] == "http.response.start" and message["status"] == UNAVAILABLE:
            self._queue_is_full = True
        if not self._queue_is_full:
            self._began = True
            await self._send(message)
        elif message["type"] == "http.response.body" and not message.get("more_body"):
            self._queue_is_full = False
            await self.refuse(UNAVAILABLE, QUEUE_IS_FULL)

    async def refuse(self, status: int, message: str) -> None:
        """Answer with a message, or end a response that has begun."""
        content = b"" if self._began else json.dumps({"detail": message}).encode()
        if not self._began:
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
        with suppress(Exception):  # The visitor may have left.
            await self._send({"type": "http.response.body", "body": content})


class _TooLargeError(Exception):
    """A request body is larger than its limit."""


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
            raise _TooLargeError(f"The request is larger than {self._limit // KB:,} kB.")
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


def _event_id(content: bytes) -> object:
    """The id of the request that a visitor stops."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return body.get("event_id") if isinstance(body, dict) else None


def _is_call(content: bytes) -> bool:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and isinstance(body.get("data"), list)
