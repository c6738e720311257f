"""The command line `clip-surgery`: its commands, and how errors are told.

Nothing heavy is imported before a command needs it, so that help is instant.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from clip_surgery.apps.cli.commands.batch import batch
from clip_surgery.apps.cli.commands.compare import compare
from clip_surgery.apps.cli.commands.demo import demo
from clip_surgery.apps.cli.commands.evaluate import evaluate
from clip_surgery.apps.cli.commands.explain import explain
from clip_surgery.apps.cli.commands.export import export
from clip_surgery.apps.cli.commands.inspect import inspect
from clip_surgery.apps.cli.commands.masks import masks
from clip_surgery.apps.cli.commands.methods import methods
from clip_surgery.apps.cli.commands.models import models
from clip_surgery.apps.cli.commands.page import page
from clip_surgery.apps.cli.commands.points import points
from clip_surgery.apps.cli.commands.report import report
from clip_surgery.apps.cli.commands.segment import segment
from clip_surgery.apps.cli.commands.tag import tag
from clip_surgery.apps.cli.commands.words import words
from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.safe_output import safe_streams
from clip_surgery.errors import ClipSurgeryError

SOME_FAILED, USAGE, UNEXPECTED, INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    name="clip-surgery",
    help="See what CLIP sees: heatmaps out of any CLIP model, without training.",
    epilog="Begin with: clip-surgery demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(demo, explain, compare, points, masks, segment, tag, words, inspect),
    *(batch, evaluate, report, export, models, methods, page),
):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"clip-surgery {version('clip-surgery')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (any position).")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Show no notices and no progress (any position)."),
    ] = False,
) -> None:
    """See what CLIP sees: heatmaps out of any CLIP model, without training."""


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: the entry point of `clip-surgery`.

    Exit codes: 0 all went well, 1 some images were skipped, 2 the request cannot be met,
    3 an unexpected error, 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    console.set_quiet("--quiet" in words)
    words = [word for word in words if word not in ("--debug", "--quiet")]
    warnings.showwarning = _notice_of_warning
    if not console.messages().is_terminal:  # bars of other libraries would fill a log
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with safe_streams():
        code = _run(words, debug=debug)
        if code == INTERRUPTED:
            console.notice("interrupted; results written so far are kept.")
    sys.exit(code)


def _run(arguments: list[str], *, debug: bool) -> int:
    command = typer.main.get_command(app)
    try:
        code = command.main(arguments, prog_name="clip-surgery", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):  # some versions of Typer return 130 instead
        return INTERRUPTED
    except ClipSurgeryError as failure:
        if debug:
            console.messages().print_exception()
        console.error(one_line(failure))
        return USAGE
    except Exception as failure:
        usage = _usage_message(failure)
        if usage is not None:
            if usage:
                console.error(usage)
            return USAGE
        if debug:
            console.messages().print_exception()
        told = f"{type(failure).__name__}: {one_line(failure)}"
        console.error(f"unexpected {told}" + ("" if debug else " (--debug shows where)"))
        return UNEXPECTED


def one_line(failure: BaseException) -> str:
    """The message of an error without line breaks."""
    return " ".join(str(failure).split())


def _usage_message(failure: Exception) -> str | None:
    """What was wrong with the arguments, if that is what was wrong.

    Typer carries its own copy of click in some versions and imports click in others, so the
    class is known by what it offers. No command at all has shown its help already: "".
    """
    if type(failure).__name__ == "NoArgsIsHelpError":
        failure.show()  # type: ignore[attr-defined]
        return ""
    format_message = getattr(failure, "format_message", None)
    if not callable(format_message):
        return None
    context = getattr(failure, "ctx", None)
    command = context.command_path if context else "clip-surgery"
    return f"{' '.join(format_message().split())} ({command} --help tells more)"


def _notice_of_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    console.notice(" ".join(str(message).split()))
