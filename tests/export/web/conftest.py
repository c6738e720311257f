"""Fixtures: an exported site of the demo model, a plain web server, and visits with Chromium."""

import contextlib
import functools
import http.server
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.export.web import export_web
from clip_surgery.export.web.runtime import PACKAGE, VERSION
from clip_surgery.loading import load
from tests.browser import TIMEOUT_MS, open_browser, skip_outside_of_ci

WORDS = ("dog", "car", "tree", "boat", "pig", "clock", "cat")
SLOW_MS = 4 * TIMEOUT_MS
"""Limit of the first visit, which loads and compiles the runtime on a machine that is busy."""


@pytest.fixture(scope="session")
def explainer():
    return load("demo", templates="small", cache=False)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Two files: a square scene, and a wide one so large that it is reduced before the resize."""
    folder = tmp_path_factory.mktemp("scenes")
    first, second = SceneDataset(seed=31, count=2, size=320)
    first.image.save(folder / "square.png")
    second.image.resize((1502, 1101)).save(folder / "wide.png")
    return folder


@pytest.fixture(scope="session")
def runtime(tmp_path_factory):
    """The archive of onnxruntime-web, which npm brings."""
    installed = Path(__file__).parents[3] / "web/node_modules" / PACKAGE
    if (installed / "dist").is_dir():
        return installed
    npm = shutil.which("npm")
    if npm is None:
        skip_outside_of_ci("npm is not installed")
    folder = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        [npm, "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        skip_outside_of_ci(f"npm cannot fetch {PACKAGE}: {done.stderr[-300:]}")
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="session")
def folder(explainer, scenes, runtime, tmp_path_factory):
    """The exported site."""
    target = tmp_path_factory.mktemp("site")
    export_web(
        explainer,
        target,
        texts=WORDS,
        examples=[scenes / "square.png"],
        webgpu=False,
        runtime=runtime,
    )
    return target


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """What `python -m http.server` runs, without its log."""

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(directory):
    handler = functools.partial(QuietHandler, directory=os.fspath(directory))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def address(folder):
    with serving(folder) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with open_browser() as chromium:
        yield chromium


@pytest.fixture
def visit(browser, address):
    """A function that opens the site as a new visitor, and waits for the maps of the example."""
    contexts = []

    def open_page(query="", *, width=1280, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        context.set_default_timeout(SLOW_MS)
        page = context.new_page()
        requests, failures = [], []
        page.on("request", lambda request: requests.append(request.url))
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.on(
            "console", lambda line: failures.append(line.text) if line.type == "error" else None
        )
        contexts.append((context, requests, failures))
        page.goto(address + query)
        page.wait_for_selector("#maps figure")
        return page

    yield open_page
    for context, requests, failures in contexts:
        assert failures == []
        assert [url for url in requests if not url.startswith((address, "data:", "blob:"))] == []
        context.close()
