"""The consoles of the command line: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rich.console import Console
from rich.text import Text

from clip_surgery.apps.cli.shared.safe_output import SafeConsole, stream_below
from clip_surgery.inputs.names import printable

WIDE = 160  # columns of a table that is written to a file or another program

LONGEST_MESSAGE = 1000  # characters of a notice or error, which may quote a long text

_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)
_noticed: ContextVar[set[str] | None] = ContextVar("_noticed", default=None)
_bar_console: ContextVar[Console | None] = ContextVar("_bar_console", default=None)


class _PipeConsole(SafeConsole):
    """A console that ends the program quietly when its reader has gone, as in `... | head`."""

    def __init__(self, *, stderr: bool = False) -> None:
        # Rich leaves out colours for NO_COLOR, but not bold, italic and dim.
        plain = bool(os.environ.get("NO_COLOR"))
        super().__init__(
            file=stream_below(sys.stderr if stderr else sys.stdout),
            highlight=False,
            color_system=None if plain else "auto",
        )

    def on_broken_pipe(self) -> None:
        try:
            super().on_broken_pipe()
        except SystemExit:
            raise SystemExit(141) from None  # what a shell reports for SIGPIPE


def results() -> Console:
    """The console for results: stdout."""
    console = _PipeConsole()
    if not console.is_terminal:
        console.width = WIDE
    return console


def messages() -> Console:
    """The console for progress, notices and errors: stderr."""
    # While a progress bar is shown, lines must pass through its console, which moves the bar.
    return _bar_console.get() or _PipeConsole(stderr=True)


def result(message: str) -> None:
    """Print one line of the result to stdout."""
    results().print(Text(printable(message)), soft_wrap=True)


def json_line(record: object) -> None:
    """Print a record as one line of JSON to stdout, in ASCII, which every terminal shows."""
    text = json.dumps(record, allow_nan=False).replace("\x7f", "\\u007f")
    results().out(text, highlight=False)


def begin_run(*, quiet: bool) -> None:
    """Begin a run of a command, whose notices and progress are hidden or shown."""
    _quiet.set(quiet)
    _noticed.set(set())


def error(message: str) -> None:
    """Print an error in one line to stderr."""
    _line("error: ", "bold red", message)


def notice(message: str) -> None:
    """Print a notice in one line to stderr, unless --quiet is given."""
    if not _quiet.get():
        _line("note: ", "bold yellow", message)


def notice_once(message: str) -> None:
    """Print a notice unless this run has printed the same one before."""
    noticed = _noticed.get()
    if noticed is None or message not in noticed:
        notice(message)
    if noticed is not None:
        noticed.add(message)


def _line(label: str, style: str, message: str) -> None:
    if len(message) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2
        left_out = len(message) - 2 * half
        message = f"{message[:half]} ... ({left_out:,} characters) ... {message[-half:]}"
    # `Text` and not markup, because a path or text may contain square brackets.
    messages().print(Text.assemble((label, style), printable(message)), soft_wrap=True)


@contextmanager
def status(activity: str) -> Iterator[None]:
    """Show on a terminal what is being done while the block runs."""
    console = messages()
    if not console.is_terminal or _quiet.get():
        yield
        return
    with console.status(Text(printable(activity))):
        yield


@contextmanager
def progress(activity: str, *, total: int) -> Iterator[Callable[[float], None]]:
    """Show a progress bar on a terminal, and yield a function that advances it by some steps."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = messages()
    bar = Progress(
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal or total < 2 or _quiet.get(),
    )
    previous_console = _bar_console.set(console)
    try:
        with bar:
            task = bar.add_task(activity, total=total)
            yield lambda steps: bar.advance(task, steps)
    finally:
        _bar_console.reset(previous_console)
