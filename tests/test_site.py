"""The documentation site builds with strict links."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("written", [True, False])
def test_the_demo_is_on_the_first_page_if_it_was_written(tmp_path, written):
    hooks = runpy.run_path(str(ROOT / "docs/_hooks.py"))
    demo = tmp_path / "demo"
    demo.mkdir()
    if written:
        (demo / "index.html").write_text("the page")
    names = hooks["on_page_markdown"].__globals__
    names["DEMO"] = demo
    page = SimpleNamespace(file=SimpleNamespace(src_uri="index.md"))
    home = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    shown = hooks["on_page_markdown"](home, page, {"docs_dir": str(ROOT / "docs")}, None)
    hooks["on_post_build"]({"site_dir": str(tmp_path / "site")})
    assert ("<iframe" in shown) == written
    assert "{demo}" not in shown
    assert (tmp_path / "site/demo/index.html").exists() == written


@pytest.mark.slow
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
