"""The images of a job: the protocol of a source, and one item of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Item:
    """One image of a source: its place, what it is called, and a path, bytes or nothing."""

    index: int
    name: str
    content: str | bytes | None


class Source(Protocol):
    """Images in a fixed order."""

    def __len__(self) -> int:
        """How many there are."""
        ...

    def digest(self) -> str:
        """Sixteen hex digits that change with the listing."""
        ...

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The images from `start` up to `stop`, without holding them all in memory."""
        ...
