"""The documentation site builds with strict links."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def test_the_site_builds(tmp_path):
    pytest.importorskip("mkdocs", reason="needs the dependency group docs")
    pytest.importorskip("material", reason="needs the dependency group docs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    home = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    assert "fonts.googleapis" not in home, "the site reads offline"
    commands = (tmp_path / "site/api/command-line/index.html").read_text(encoding="utf-8")
    for command in ("explain", "segment", "evaluate"):
        assert f"Usage: clip-surgery {command}" in commands
    reference = (tmp_path / "site/api/index.html").read_text(encoding="utf-8")
    assert "clip_surgery.load" in reference
    assert "clip_surgery.heatmaps" in reference
