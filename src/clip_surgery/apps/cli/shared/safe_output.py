"""Standard output and standard error on which control characters are escaped.

File names, texts, labels and messages of libraries may contain characters that a terminal would
execute, such as the escape sequences that clear the screen or set its title. While a command runs,
everything that is printed passes through one of two places: `SafeConsole` for what the commands
print themselves, with colours, and `SafeStream` for what anybody else prints.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from clip_surgery.inputs.names import printable

_LINE_BREAKS_AND_TABS = re.compile(r"([\n\t]+)")
# What progress bars of other libraries write to move the cursor before they draw.
_CURSOR_MOVES = re.compile(r"(?:\r|\n|\x1b\[A)*")


def escape_controls(text: str) -> str:
    r"""Return the text with all control characters escaped except line breaks and tabs.

    Example:
        >>> print(escape_controls("dog\x1b[2J\tcat"))
        dog\x1b[2J  cat
    """
    parts = _LINE_BREAKS_AND_TABS.split(text)
    return "".join(part if index % 2 else printable(part) for index, part in enumerate(parts))


class SafeConsole(Console):
    """A rich console that escapes control characters in the text it prints.

    Only the sequences that rich itself adds, for colours and cursor positions, reach the stream.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, and escape the text of every segment."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(escape_controls(segment.text), segment.style)


class SafeStream:
    """A text stream that escapes control characters in everything written to it.

    Attributes:
        rich_proxied_file: the stream below. Rich consoles look for this name and write there, so
            that the help of the command line keeps its colours.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write the text with control characters escaped."""
        moves = ""
        if self.rich_proxied_file.isatty():
            match = _CURSOR_MOVES.match(text)
            moves = match[0] if match else ""
        self.rich_proxied_file.write(moves + escape_controls(text[len(moves) :]))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name in ("buffer", "reconfigure", "detach"):  # they would write past this object
            raise AttributeError(name)
        return getattr(self.rich_proxied_file, name)


def stream_below(stream: TextIO | SafeStream) -> TextIO:
    """Return the stream that a `SafeStream` writes to, or the stream itself."""
    return stream.rich_proxied_file if isinstance(stream, SafeStream) else stream


@contextmanager
def safe_streams() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by safe streams inside the block."""
    before = sys.stdout, sys.stderr
    for stream in before:
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            # A terminal of another encoding than UTF-8 cannot show every letter.
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = map(SafeStream, before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
