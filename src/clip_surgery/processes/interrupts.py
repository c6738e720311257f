"""Delay Ctrl-C (SIGINT) while a step must not be left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Delay a Ctrl-C that is pressed within the block until the end of the block.

    Python delivers Ctrl-C to the main thread only. In other threads the block changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    previous_handler = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(
            signal.SIGINT,
            signal.default_int_handler if previous_handler is None else previous_handler,
        )
        if pressed:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def interrupts_blocked_in_new_processes() -> Iterator[None]:
    """Start processes in the block with SIGINT blocked, and delay a Ctrl-C in this process.

    A terminal sends Ctrl-C to all processes of a program. A new process inherits the mask of
    blocked signals, so it cannot be interrupted while Python is still being imported. On Windows,
    which has no such mask, only this process is protected.
    """
    with interrupts_held_back():
        if not hasattr(signal, "pthread_sigmask"):
            yield
            return
        previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
