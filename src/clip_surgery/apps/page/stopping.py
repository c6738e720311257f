"""Stop a running model if its visitor has left or the time limit is reached.

A model cannot be interrupted from outside. `stoppable` returns an explainer that checks before each
block of its towers whether the request of the current thread should continue.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import wraps
from typing import ParamSpec, TypeVar

from clip_surgery.backbones.tower import Block
from clip_surgery.errors import InputError
from clip_surgery.explainer import Explainer
from clip_surgery.grid import PatchGrid

P = ParamSpec("P")
T = TypeVar("T")


class RequestStoppedError(InputError):
    """The request was stopped before its result was ready."""


_is_abandoned: ContextVar[Callable[[], bool] | None] = ContextVar("is_abandoned", default=None)
_deadline: ContextVar[tuple[float, int] | None] = ContextVar("deadline", default=None)


_stopped_events: deque[str] = deque(maxlen=1_000)
"""Ids of the last requests that visitors stopped by a button. Gradio only drops those that wait."""


def stop_event(event_id: object) -> None:
    """Stop the running request with this id of Gradio's queue; other values do nothing."""
    if isinstance(event_id, str) and len(event_id) <= 100:
        _stopped_events.append(event_id)


def is_stopped(event_id: str) -> bool:
    """Return whether the visitor stopped the request with this id."""
    return event_id in _stopped_events


@contextmanager
def watched(is_abandoned: Callable[[], bool] | None) -> Iterator[None]:
    """Stop the work within this context as soon as `is_abandoned` returns true."""
    token = _is_abandoned.set(is_abandoned)
    try:
        yield
    finally:
        _is_abandoned.reset(token)


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Stop the work within this context after this number of seconds."""
    token = _deadline.set((time.monotonic() + seconds, seconds))
    try:
        yield
    finally:
        _deadline.reset(token)


def check_running() -> None:
    """Return if the current request should continue, and raise an error otherwise.

    Raises:
        RequestStoppedError: if its visitor has left or its time limit is reached.
    """
    is_abandoned, deadline = _is_abandoned.get(), _deadline.get()
    if is_abandoned is not None and is_abandoned():
        raise RequestStoppedError("The request was cancelled.")
    if deadline is not None and time.monotonic() > deadline[0]:
        raise RequestStoppedError(
            f"The request took longer than {deadline[1]} s and was stopped. Use a smaller image, "
            "fewer texts or a faster method."
        )


def stoppable(explainer: Explainer) -> Explainer:
    """Return the explainer with towers that call `check_running` before each block."""
    backbone = explainer.backbone
    tower, text_tower = backbone.tower, backbone.text_tower
    blocks_at, encode = tower.blocks_at, text_tower.encode

    def stoppable_blocks_at(grid: PatchGrid) -> tuple[Block, ...]:
        assert blocks_at is not None
        return tuple(map(_stoppable_block, blocks_at(grid)))

    tower = replace(
        tower,
        embed=_checked(tower.embed),
        blocks=tuple(map(_stoppable_block, tower.blocks)),
        blocks_at=None if blocks_at is None else stoppable_blocks_at,
    )
    text_tower = replace(
        text_tower,
        blocks=tuple(map(_stoppable_block, text_tower.blocks)),
        encode=None if encode is None else _checked(encode),
    )
    return replace(explainer, backbone=replace(backbone, tower=tower, text_tower=text_tower))


def _stoppable_block(block: Block) -> Block:
    return replace(block, norm_attention=_checked(block.norm_attention))


def _checked(function: Callable[P, T]) -> Callable[P, T]:
    """The function, preceded by `check_running`."""

    @wraps(function, updated=())
    def run(*arguments: P.args, **named: P.kwargs) -> T:
        check_running()
        return function(*arguments, **named)

    return run
