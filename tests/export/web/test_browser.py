"""The exported site in Chromium: what it computes is what Python computes."""

import json

import pytest
import torch
from playwright.sync_api import expect

from clip_surgery.tasks.inspection import attention
from clip_surgery.tasks.points import points
from clip_surgery.tasks.presence import presence
from tests.export.web.conftest import WORDS

pytestmark = pytest.mark.slow

TOLERANCE = 1e-3
ATTENTION_TOLERANCE = 1e-4  # attention to all patches alike is 1 / 144 for each


def saved(page):
    """The numbers that the page offers as a file."""
    with page.expect_download() as download:
        page.click("#save")
    return json.loads(download.value.path().read_text())


def show(page, path):
    page.set_input_files("#file", path)
    expect(page.locator("#maps")).to_have_attribute("data-image", path.name)


def by_word(record, key):
    return {entry["word"]: entry[key] for entry in record["words"]}


def assert_near(actual, expected, tolerance=TOLERANCE):
    torch.testing.assert_close(
        torch.as_tensor(actual, dtype=torch.float32).reshape(expected.shape),
        expected.float(),
        rtol=0,
        atol=tolerance,
    )


@pytest.mark.parametrize("name", ["square.png", "wide.png"])
def test_maps_presence_points_and_attention_equal_those_of_python(visit, explainer, scenes, name):
    page = visit()
    show(page, scenes / name)
    page.locator(".map").first.focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("#attention-maps .map")).to_have_count(2)
    record = saved(page)
    words = WORDS[:6]
    assert record["image"] == name
    assert [entry["word"] for entry in record["words"]] == list(words)

    explanation = explainer([scenes / name], words)
    assert record["grid"] == list(explanation.patch_scores[0].shape[1:])
    plain = explainer.with_method("similarity")([scenes / name], words)
    probabilities = presence(explanation)[0]
    [reference] = points(explanation)
    [peaks] = points(explanation, rule="peaks")
    for index, entry in enumerate(record["words"]):
        assert_near(entry["map"], explanation.patch_scores[0][index])
        assert_near(entry["plain"], plain.patch_scores[0][index])
        assert_near(entry["cosine"], explanation.image_scores[0][index])
        assert_near(entry["presence"], probabilities[index])
        for rule, expected in (("reference", reference[index]), ("peaks", peaks[index])):
            assert_same_points(entry["points"][rule], expected)
    assert max(abs(value) for entry in record["words"] for value in entry["map"]) > 10 * TOLERANCE
    shown = record["attention"]
    for kind, weights in zip(
        ("own", "consistent"),
        attention(explainer, scenes / name, (shown["x"], shown["y"])),
        strict=True,
    ):
        assert tuple(shown["patch"]) == weights.patch
        assert_near(shown[kind], weights.weights.flatten(), ATTENTION_TOLERANCE)
        assert max(shown[kind]) > 10 * ATTENTION_TOLERANCE


def assert_same_points(actual, expected):
    """Cells of equal level may come in another order."""
    pairs = sorted((point["label"], point["x"], point["y"]) for point in actual)
    other = sorted(
        (int(label), float(x), float(y))
        for (x, y), label in zip(expected.xy, expected.labels, strict=True)
    )
    assert_near(pairs, torch.tensor(other))


def test_any_word_can_be_added(visit, explainer, scenes):
    page = visit()
    for word in ("Owl", "a red  caf\u00e9\u2019s umbrella"):
        page.fill("#word", word)
        page.press("#word", "Enter")
        expect(page.locator("#word")).to_have_value("")
    words = (*WORDS[:6], "Owl", "a red caf\u00e9\u2019s umbrella")
    expect(page.locator("#maps figure")).to_have_count(len(words))
    expect(page.locator("#status")).to_contain_text("Maps of 8 words")
    record = saved(page)
    assert tuple(entry["word"] for entry in record["words"]) == words
    explanation = explainer([scenes / "square.png"], words)
    for index in (6, 7):
        entry = record["words"][index]
        assert_near(entry["map"], explanation.patch_scores[0][index])
        assert_near(entry["presence"], presence(explanation)[0, index])
    assert "word=Owl" in page.url


def test_what_cannot_be_used_is_said_and_words_are_never_read_as_markup(visit, tmp_path):
    page = visit("#word=dog&word=<img src=x onerror=alert(1)>")
    expect(page.locator("#maps figure")).to_have_count(1)
    (tmp_path / "broken.png").write_bytes(b"no image")
    page.set_input_files("#file", tmp_path / "broken.png")
    expect(page.locator("#status.error")).to_have_text(
        "broken.png is not an image that this browser can read."
    )
    page.fill("#word", "9" * 150)  # each digit is a token
    page.press("#word", "Enter")
    expect(page.locator("#status.error")).to_contain_text("is too long")
    page.fill("#word", "<b id=injected>bold</b>")
    page.press("#word", "Enter")
    expect(page.locator("#maps figcaption b").last).to_have_text("<b id=injected>bold</b>")
    assert page.locator("#injected").count() == 0
    expect(page.locator("#maps figure")).to_have_count(2)  # the map before stays


def test_a_device_without_a_camera_is_told_so(visit):
    page = visit()
    page.click("#camera")
    expect(page.locator("#status.error")).to_contain_text("The camera cannot be used")
    expect(page.locator("#maps figure")).to_have_count(6)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_window(visit, scheme, width):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(scheme=scheme, width=width, reduced_motion="reduce")
    page.locator(".map").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#attention-maps .map")).to_have_count(2)
    page.evaluate("document.querySelector('[name=points]').value = 'peaks'")
    found = axe.run(page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found] == []
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 0


def test_the_view_follows_its_options_and_threads_need_no_headers(visit):
    page = visit()
    assert page.evaluate("crossOriginIsolated && navigator.serviceWorker.controller !== null")
    assert "WebAssembly, " in page.inner_text("#about")
    expect(page.locator("#maps .map")).to_have_count(12)
    page.get_by_label("CLIP Surgery", exact=True).check()
    expect(page.locator("#maps .map")).to_have_count(6)
    page.locator("#maps .map").first.hover(position={"x": 40, "y": 60})
    expect(page.locator("#readout")).to_contain_text("dog, CLIP Surgery: ")
    page.get_by_role("button", name="dog", exact=True).click()
    expect(page.locator("#maps figure")).to_have_count(5)
    page.get_by_label("Opacity").fill("0.2")
    assert page.evaluate("getComputedStyle(document.querySelector('canvas.heat')).opacity") == "0.2"


def test_webgpu_computes_what_python_computes(device_visit, explainer, scenes):
    page = device_visit("?webgpu=always")
    assert "run by WebGPU" in page.inner_text("#about")
    record = saved(page)
    words = WORDS[:6]
    explanation = explainer([scenes / "square.png"], words)
    assert [entry["word"] for entry in record["words"]] == list(words)
    for index, entry in enumerate(record["words"]):
        assert_near(entry["map"], explanation.patch_scores[0][index])
        assert_near(entry["cosine"], explanation.image_scores[0][index])


def test_webgpu_in_software_is_not_used_and_the_camera_gives_an_image(device_visit):
    page = device_visit(permissions=["camera"])
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
