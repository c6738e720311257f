"""Fixtures: an exported site of the demo model, a plain web server, and visits with Chromium."""

import contextlib
import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.export.web import export_web
from clip_surgery.export.web.runtime import PACKAGE
from clip_surgery.loading import load
from tests.browser import DEVICE_FLAGS, FLAGS, TIMEOUT_MS, open_browser, skip_outside_of_ci

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


WEB = Path(__file__).parents[3] / "web"


@pytest.fixture(scope="session")
def node_modules():
    """The npm packages of the page."""
    if shutil.which("node") is None or not (WEB / "node_modules").is_dir():
        skip_outside_of_ci("web/node_modules is missing: run `npm ci` in web/")
    return WEB / "node_modules"


@pytest.fixture(scope="session")
def folder(explainer, scenes, node_modules, tmp_path_factory):
    """The exported site."""
    target = tmp_path_factory.mktemp("site")
    export_web(
        explainer,
        target,
        texts=WORDS,
        any_word=True,
        examples=[scenes / "square.png"],
        runtime=node_modules / PACKAGE,
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
        from playwright.sync_api import expect

        expect.set_options(timeout=SLOW_MS)
        yield chromium


@pytest.fixture(scope="module")
def device_browser(browser):
    """Chromium with WebGPU, computed in software, and with a simulated camera."""
    chromium = browser.browser_type.launch(
        executable_path=shutil.which("chromium"), args=[*FLAGS, *DEVICE_FLAGS]
    )
    yield chromium
    chromium.close()


@pytest.fixture
def visit(browser, address):
    """A function that opens the site as a new visitor, and waits for the maps of the example."""
    with visits(browser, address) as open_page:
        yield open_page


@pytest.fixture
def device_visit(device_browser, address):
    """As `visit`, with WebGPU and a camera."""
    with visits(device_browser, address) as open_page:
        yield open_page


@contextlib.contextmanager
def visits(browser, address):
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
