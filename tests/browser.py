"""Chromium for tests of pages; where it is missing they are skipped, except where all must run."""

import os
import shutil
from contextlib import contextmanager

import pytest

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# WebGPU computed by software, and a camera that shows a moving test image.
DEVICE_FLAGS = [
    *("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
TIMEOUT_MS = 60_000


def skip_outside_of_ci(reason):
    """Skip the test, or fail where all tests must run."""
    if os.environ.get("CLIP_SURGERY_CI"):
        pytest.fail(f"CLIP_SURGERY_CI is set, but {reason}")
    pytest.skip(reason)


@contextmanager
def open_browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        skip_outside_of_ci("chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        skip_outside_of_ci("playwright is not installed")
    with sync_playwright() as playwright:
        # without a profile folder, playwright creates a new one
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()
