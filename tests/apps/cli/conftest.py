"""The command line called as a user calls it, in this process or another."""

import os
import subprocess
import sys
from typing import NamedTuple

import pytest
from PIL import Image

from clip_surgery.apps.cli.commands.demo import SCENE
from clip_surgery.apps.cli.main import run


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder as working directory, with nothing kept from other runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLIP_SURGERY_CACHE", str(tmp_path / ".cache"))
    monkeypatch.setenv("CLIP_SURGERY_MODEL", "demo")
    return tmp_path


@pytest.fixture
def cli(home, capsys):
    """Run the command line in this process."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            run([str(argument) for argument in arguments])
        return Outcome(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def shell(home):
    """Run the command line in a process of its own."""

    def call(*arguments, extra_env=(), **options):
        command = [sys.executable, "-c", "from clip_surgery.apps.cli.main import run; run()"]
        done = subprocess.run(
            [*command, *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", **dict(extra_env)},
            **options,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture
def scene(home):
    """The bundled scene as a file."""
    path = home / "scene.png"
    with Image.open(SCENE / "scene.png") as image:
        image.save(path)
    return path
