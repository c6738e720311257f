"""The command line `clip-surgery`: its commands, messages of errors, and exit codes.

Large libraries are imported only when a command needs them, so that the help appears at once.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from clip_surgery.apps.cli.commands.attention import attention
from clip_surgery.apps.cli.commands.audit import audit
from clip_surgery.apps.cli.commands.batch import batch
from clip_surgery.apps.cli.commands.calibrate import calibrate
from clip_surgery.apps.cli.commands.check_method import check_method
from clip_surgery.apps.cli.commands.compare import compare
from clip_surgery.apps.cli.commands.decompose import decompose
from clip_surgery.apps.cli.commands.demo import demo
from clip_surgery.apps.cli.commands.evaluate import evaluate
from clip_surgery.apps.cli.commands.explain import explain
from clip_surgery.apps.cli.commands.export import export
from clip_surgery.apps.cli.commands.inspect import inspect
from clip_surgery.apps.cli.commands.interactions import interactions
from clip_surgery.apps.cli.commands.masks import masks
from clip_surgery.apps.cli.commands.match import match
from clip_surgery.apps.cli.commands.methods import methods
from clip_surgery.apps.cli.commands.models import models
from clip_surgery.apps.cli.commands.page import page
from clip_surgery.apps.cli.commands.points import points
from clip_surgery.apps.cli.commands.report import report
from clip_surgery.apps.cli.commands.search import search
from clip_surgery.apps.cli.commands.segment import segment
from clip_surgery.apps.cli.commands.tag import tag
from clip_surgery.apps.cli.commands.words import words
from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.safe_output import safe_streams
from clip_surgery.errors import ClipSurgeryError

USAGE, UNEXPECTED, INTERRUPTED = 2, 3, 130  # exit codes

_MODULE_AND_CLASS = re.compile(r"(^|[=,])(?!open_clip:|hugging_face:)[\w.]+:[A-Za-z_]\w*")

app = typer.Typer(
    name="clip-surgery",
    help="See what CLIP sees: heatmaps from any CLIP model, without training.",
    epilog="Begin with: clip-surgery demo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(demo, explain, compare, points, masks, segment, tag, words, match, search),
    *(interactions, inspect, attention, decompose),
    *(batch, calibrate, check_method, audit, evaluate, report, export, models, methods, page),
):
    app.command()(command)


def _show_version(is_given: bool) -> None:
    if is_given:
        from importlib.metadata import version

        typer.echo(f"clip-surgery {version('clip-surgery')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    quiet: Annotated[
        bool,
        typer.Option("--quiet", help="Show only errors: no notices and no progress."),
    ] = False,
) -> None:
    """See what CLIP sees: heatmaps from any CLIP model, without training.

    --debug and --quiet may stand at any position.
    """


def run(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit. This is the entry point of `clip-surgery`.

    The exit code is 0 if everything succeeded, 1 if some images were skipped, 2 if the command
    cannot be carried out as it was given, 3 for an unexpected error, and 130 for an interruption.

    Args:
        arguments: the words behind the program's name; those of this process by default.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    console.begin_run(quiet="--quiet" in words)
    words = [word for word in words if word not in ("--debug", "--quiet")]
    warnings.showwarning = _notice_of_warning
    if not console.messages().is_terminal:  # bars of other libraries would fill a log
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if any(map(_MODULE_AND_CLASS.search, words)):
        sys.path.append(os.getcwd())  # --method module:Class may name a module of this folder
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
        description = f"{type(failure).__name__}: {one_line(failure)}"
        console.error(f"unexpected {description}" + ("" if debug else " (--debug shows where)"))
        return UNEXPECTED


def one_line(failure: BaseException) -> str:
    """Return the message of an error without line breaks."""
    return " ".join(str(failure).split())


def _usage_message(failure: Exception) -> str | None:
    """Return the message of an error in the arguments; None for any other error.

    The error's class is not tested, because some versions of Typer contain a copy of click. If no
    command was given, the help is shown and the message is empty.
    """
    if type(failure).__name__ == "NoArgsIsHelpError":
        failure.show()  # type: ignore[attr-defined]
        return ""
    format_message = getattr(failure, "format_message", None)
    if not callable(format_message):
        return None
    context = getattr(failure, "ctx", None)
    command = context.command_path if context else "clip-surgery"
    return f"{' '.join(format_message().split())} ({command} --help says more)"


def _notice_of_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    console.notice(" ".join(str(message).split()))
