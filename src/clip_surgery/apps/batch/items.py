"""The images of a job: the protocol of a source, and one item of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Item:
    """One image of a source, not yet read.

    Attributes:
        index: its index in the source.
        name: its name in results, which may contain bytes that are not UTF-8 (surrogateescape).
        content: its path, the bytes of its file, or None if the source has neither.
    """

    index: int
    name: str
    content: str | bytes | None


class Source(Protocol):
    """Images in a fixed order. A source is small and picklable, because workers receive it."""

    def __len__(self) -> int:
        """Number of images."""
        ...

    def digest(self) -> str:
        """Sixteen hexadecimal digits that change if the list of images changes."""
        ...

    def items(self, start: int, stop: int) -> Iterator[Item]:
        """The images from index `start` up to `stop`, without holding all of them in memory."""
        ...
