"""The exported site on a device with WebGPU, in software, and with a camera, which is simulated."""

import pytest
from playwright.sync_api import expect

from tests.browser import DEVICE_FLAGS, open_browser
from tests.export.web.conftest import SLOW_MS, WORDS
from tests.export.web.test_browser import assert_near, saved

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def browser():
    with open_browser(*DEVICE_FLAGS) as chromium:
        expect.set_options(timeout=SLOW_MS)
        yield chromium


def test_webgpu_computes_what_python_computes(visit, explainer, scenes):
    page = visit("?webgpu=always")
    assert "run by WebGPU" in page.inner_text("#about")
    record = saved(page)
    words = WORDS[:6]
    explanation = explainer([scenes / "square.png"], words)
    assert [entry["word"] for entry in record["words"]] == list(words)
    for index, entry in enumerate(record["words"]):
        assert_near(entry["map"], explanation.patch_scores[0][index])
        assert_near(entry["cosine"], explanation.image_scores[0][index])


def test_webgpu_in_software_is_not_used_and_the_camera_gives_an_image(visit):
    page = visit(permissions=["camera"])
    assert "run by WebAssembly" in page.inner_text("#about")
    page.click("#camera")
    page.click("#cancel")
    expect(page.locator("#camera-dialog")).to_be_hidden()
    expect(page.locator("#maps figure")).to_have_count(6)  # those of the example
    page.click("#camera")
    page.click("#shoot")
    expect(page.locator("#maps")).to_have_attribute("data-image", "camera")
    expect(page.locator("#status")).to_contain_text("Maps of 6 words")
    assert page.evaluate("document.querySelector('#video').srcObject") is None
