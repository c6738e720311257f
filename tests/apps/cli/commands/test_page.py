"""The command that serves the page, in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec

import click
import httpx
import pytest

from clip_surgery.apps.page.serving import LOOPBACK, _free_port
from clip_surgery.errors import InputError


def test_options_are_listed(cli):
    done = cli("page", "--help")
    assert done.code == 0
    for option in ("--model", "--segmenter", "--host", "--port", "--max-mb", "--keep-minutes"):
        assert option in click.unstyle(done.out)  # typer keeps colours that an earlier test forced


def test_gradio_missing_is_one_line_with_the_command(cli, monkeypatch):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if name == "gradio" else find_spec(name)
    )
    done = cli("page")
    assert done.code == 2
    assert "gradio is not installed: pip install 'clip-surgery[page]'" in done.err


def test_wrong_requests_are_one_line(cli):
    done = cli("page", "--model", "dmo")
    assert done.code == 2
    assert "Traceback" not in done.err
    done = cli("page", "--port", "70000")
    assert done.code == 2


@pytest.mark.slow
def test_it_serves_on_loopback_and_cleans_up(home):
    (home / "temporary").mkdir()
    command = [sys.executable, "-c", "from clip_surgery.apps.cli.main import run; run()"]
    settings = {"OMP_NUM_THREADS": "1", "TMPDIR": str(home / "temporary")}
    with subprocess.Popen(
        [*command, "page", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **settings},
    ) as process:
        try:
            line = process.stdout.readline()
            assert line.startswith("page at http://127.0.0.1:"), line
            answer = httpx.get(line.split()[2])
            assert answer.status_code == 200
            assert "CLIP Surgery" in answer.text
            assert len(list((home / "temporary").glob("clip-surgery-page-*"))) == 1
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=60)
    assert code == 0
    assert list((home / "temporary").glob("clip-surgery-page-*")) == []


@pytest.fixture
def taken_port():
    """A port that another socket listens on."""
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        yield other.getsockname()[1]


def test_an_address_that_is_taken_is_refused(taken_port):
    with pytest.raises(InputError, match="cannot be listened on"):
        _free_port(LOOPBACK, taken_port)


@pytest.mark.slow
def test_an_address_that_is_taken_is_one_line(shell, taken_port):
    done = shell("page", "--port", taken_port, timeout=120)
    assert done.code == 2
    assert "cannot be listened on" in done.err
    assert "Traceback" not in done.err
