"""The built page in the package is that of the sources, and the sources pass the type checker."""

import subprocess

import pytest

from tests.export.web.conftest import WEB

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("command", [["node", "build.mjs", "--check"], ["npx", "tsc", "--noEmit"]])
def test_the_built_page_is_that_of_the_sources(node_modules, command):
    done = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
