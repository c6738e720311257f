import os
import signal
import subprocess
import sys
import time

import pytest

from clip_surgery.apps.cli import main
from clip_surgery.apps.cli.shared import console

HEAVY = ("torch", "numpy", "PIL", "matplotlib", "open_clip", "transformers", "safetensors")

COMMANDS = (
    *("demo", "explain", "compare", "points", "masks", "segment", "tag", "words", "inspect"),
    *("evaluate", "report", "models", "methods"),
)


def test_help_lists_the_commands(cli):
    for arguments in (["--help"], ["-h"]):
        done = cli(*arguments)
        assert done.code == 0
        for command in COMMANDS:
            assert command in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    done = cli(command, "--help")
    assert done.code == 0
    assert command in done.out


def test_help_imports_nothing_heavy(shell):
    """Imports make the start slow; a measured time would depend on the machine."""
    code = (
        "import sys\n"
        "from clip_surgery.apps.cli.main import run\n"
        "try: run(['points', '--help'])\n"
        f"finally: print([name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("[]")


def test_no_command_shows_help(shell):
    done = shell()
    assert done.code == 2
    assert "explain" in done.out + done.err


def test_version(cli):
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("clip-surgery 0.")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["explian"], "No such command 'explian'"),
        (["--colour"], "No such option"),
        (["explain"], "Missing argument 'IMAGE... TEXT...'. (clip-surgery explain --help"),
    ],
)
def test_wrong_usage(cli, arguments, reason):
    done = cli(*arguments)
    assert done.code == 2
    assert reason in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("position", [0, 1, 3])
def test_debug_shows_the_traceback_at_any_position(cli, scene, position):
    arguments = ["explain", "scene.png", "fox", "--method=gemm"]
    arguments.insert(position, "--debug")
    done = cli(*arguments)
    assert done.code == 2
    assert "Traceback" in done.err
    assert done.err.rstrip().splitlines()[-1].startswith("error: Unknown method 'gemm'")


def test_unexpected_errors_are_one_line_too(cli, scene, monkeypatch):
    def broken(*_, **__):
        raise KeyError("what\nnow")

    monkeypatch.setattr("clip_surgery.apps.cli.shared.request.sort_arguments", broken)
    done = cli("explain", "scene.png", "fox")
    assert done.code == 3
    assert done.err == "error: unexpected KeyError: 'what\\nnow' (--debug shows where)\n"
    done = cli("--debug", "explain", "scene.png", "fox")
    assert done.code == 3
    assert "Traceback" in done.err


def test_warnings_become_notes(capsys):
    main._notice_of_warning(UserWarning("the cache\nis read-only"), UserWarning, "x.py", 3)
    assert capsys.readouterr().err == "note: the cache is read-only\n"


def test_square_brackets_in_messages_are_not_markup(cli):
    done = cli("explain", "[bold]cat.jpg", "fox")
    assert done.err.startswith("error: [bold]cat.jpg: no image matches this pattern; ")


def test_interrupted_in_process(cli, scene, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("clip_surgery.apps.cli.shared.request.sort_arguments", stop)
    done = cli("explain", "scene.png", "fox")
    assert done.code == 130
    assert "interrupted" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted_by_the_terminal(home, scene):
    code = (
        "import time\n"
        "from clip_surgery.apps.cli import main\n"
        "from clip_surgery.apps.cli.shared import request\n"
        "def slow(_):\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
        "request.sort_arguments = slow\n"
        "main.run(['explain', 'scene.png', 'fox'])\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
def test_a_closed_pipe_is_no_error(home):
    code = "from clip_surgery.apps.cli.main import run; run(['methods'])"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.stderr == ""
    assert done.returncode == 141


def test_lines_printed_during_a_progress_bar_use_its_console():
    """Otherwise the line would be written into the progress bar."""
    before = console.messages()
    with console.progress("explaining", total=3) as advance:
        drawing = console.messages()
        assert console.messages() is drawing
        advance(1)
    assert console.messages() not in (before, drawing)
