"""The page in a real browser: what a visitor sees and presses."""

import json
import os
import re
import shutil

import pytest
from PIL import Image

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
SLOW = 60_000  # ms that a loaded machine may take


def absent(reason):
    """Skip, but not where everything must be tested."""
    if os.environ.get("CLIP_SURGERY_CI"):
        pytest.fail(f"CLIP_SURGERY_CI is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        absent("chromium is not installed")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        absent("playwright is not installed")
    with sync_playwright() as playwright:
        # launched without a profile folder, playwright makes a fresh one
        opened = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_visit(browser, site):
    """Open the page as a new visitor; each keeps the addresses that were asked for."""
    contexts = []

    def open_page():
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(SLOW)
        contexts.append(context)
        page = context.new_page()
        page.asked = []
        page.failures = []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.failures.append(str(error)))
        page.goto(site.address)
        page.wait_for_selector("#explain")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            assert page.failures == []
            outside = [
                url for url in page.asked if not url.startswith((site.address, "data:", "blob:"))
            ]
            assert outside == []
        context.close()


def upload(page, path):
    page.set_input_files("#image input[type=file]", path)


def type_texts(page, *words):
    box = page.locator("#texts input")
    for word in words:
        box.fill(word)
        box.press("Enter")
    page.keyboard.press("Escape")


def explain(page, path, *words):
    upload(page, path)
    page.wait_for_selector("#image img")
    type_texts(page, *words)
    page.click("#explain")
    page.wait_for_selector(f"#maps .cs-card[data-title='{words[0]}']")


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def titles(page, where):
    return [card.get_attribute("data-title") for card in page.locator(f"{where} .cs-card").all()]


def test_upload_and_explain(open_visit, site, image_files):
    page = open_visit()
    before = site.runs
    explain(page, image_files / "scene.png", "car", "pig", "dog")
    assert titles(page, "#maps") == ["car", "pig", "dog"]
    assert site.runs == before + 1
    assert page.locator("#maps .cs-faint").count() == 1  # there is no dog
    for tab, found in (("Points", ".cs-on"), ("Tags", "tbody tr"), ("Segments", ".cs-layer")):
        open_tab(page, tab)
        page.wait_for_selector(f"#{tab.lower()} {found}")
    assert page.locator("#tags tbody tr").count() == 3
    assert site.runs == before + 1  # one look of the model shows all of these


def test_opacity_asks_nothing_and_contrast_no_model(open_visit, site, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "dog")
    layer = page.locator("#maps .cs-layer").first
    assert layer.evaluate("e => getComputedStyle(e).opacity") == "0.75"
    runs, asked = site.runs, len(page.asked)
    page.locator("#opacity input[type=number]").fill("0.3")
    page.locator("#opacity input[type=number]").press("Tab")
    page.wait_for_function(
        "getComputedStyle(document.querySelector('#maps .cs-layer')).opacity == '0.3'"
    )
    assert len(page.asked) == asked  # the browser did it alone
    before = layer.get_attribute("src")
    page.get_by_label("by presence").check()
    page.wait_for_function(
        "before => document.querySelector('#maps .cs-layer').src != before", arg=before
    )
    assert site.runs == runs


def test_messages_for_bad_files(open_visit, site, image_files):
    page = open_visit()
    runs = site.runs
    upload(page, image_files / "broken.png")
    page.get_by_text("broken.png: not an image in a format that Pillow reads").wait_for()
    page.wait_for_selector("#image img", state="detached")  # it is let go
    upload(page, image_files / "large.png")
    page.get_by_text("over the limit of 1,000,000 pixels").wait_for()
    page.reload()
    page.wait_for_selector("#explain")
    page.click("#explain")
    page.get_by_text("Choose an image first").wait_for()
    assert site.runs == runs


def test_words_are_text_and_never_markup(open_visit, image_files):
    page = open_visit()
    evil = "<img src=x onerror=document.title='hacked'>"
    explain(page, image_files / "scene.png", "car", evil)
    open_tab(page, "Tags")
    page.get_by_role("rowheader", name=evil).wait_for()
    assert page.locator("#tags img").count() == 0
    assert page.title() == "CLIP Surgery"


def test_attention_of_a_clicked_point(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    open_tab(page, "Attention")
    page.locator("#attention .cs-frame").first.click(position={"x": 60, "y": 60})
    page.wait_for_selector("#attention .cs-layer")
    assert len(titles(page, "#attention")) == 3
    first = page.locator("#attention .cs-note").inner_text()
    page.locator("#attention .cs-frame").first.click(position={"x": 150, "y": 150})
    page.wait_for_function(
        "first => document.querySelector('#attention .cs-note').innerText != first", arg=first
    )


def test_example_sentence_and_masks(open_visit):
    page = open_visit()
    page.click("[data-example='2']")
    page.wait_for_selector("#maps .cs-card")
    open_tab(page, "Words")
    page.wait_for_function("document.querySelector('#sentence textarea, #sentence input').value")
    page.click("#read")
    page.wait_for_selector("#read-words .cs-word")
    open_tab(page, "Masks")
    page.click("#segment")
    page.wait_for_selector("#masks .cs-layer")
    open_tab(page, "Tags")
    page.click("#find-tags")
    page.wait_for_function("document.querySelectorAll('#tags tbody tr').length == 12")


def test_downloads(open_visit, image_files, tmp_path):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "dog")
    with page.expect_download() as saved:
        page.click("#save-json")
    assert saved.value.suggested_filename == "scene.json"
    saved.value.save_as(tmp_path / "scene.json")
    found = json.loads((tmp_path / "scene.json").read_text())
    assert [text["text"] for text in found["explanation"]["texts"]] == ["car", "dog"]
    with page.expect_download() as saved:
        page.click("#save-image")
    saved.value.save_as(tmp_path / "scene-maps.png")
    with Image.open(tmp_path / "scene-maps.png") as figure:
        assert figure.width > 600


def test_two_visitors_do_not_see_each_other(open_visit, site, image_files):
    one, other = open_visit(), open_visit()
    upload(one, image_files / "scene.png")
    upload(other, image_files / "red.png")
    one.wait_for_selector("#image img")
    other.wait_for_selector("#image img")
    type_texts(one, "car", "pig")
    type_texts(other, "clock")
    one.click("#explain")
    other.click("#explain")
    one.wait_for_selector("#maps .cs-card")
    other.wait_for_selector("#maps .cs-card")
    assert titles(one, "#maps") == ["car", "pig"]
    assert titles(other, "#maps") == ["clock"]
    for page in (one, other):  # what the server keeps of each is the visitor's own
        page.get_by_label("all texts on one scale").check()
        page.wait_for_function("document.querySelector('#contrast input:checked').value == 'image'")
        with page.expect_download() as saved:
            page.click("#save-json")
        name = json.loads(saved.value.path().read_text())["explanation"]["image"]
        assert name == ("scene.png" if page is one else "red.png")
    # a third visitor begins with nothing, and an upload lies under a name that nobody guesses
    third = open_visit()
    third.click("#save-json")
    third.get_by_text("Press Explain first").wait_for()
    source = one.locator("#image img").first.get_attribute("src")
    assert re.search(r"/[0-9a-f]{64}/scene\.png", source), source


def test_a_narrow_window_needs_no_sideways_scrolling(open_visit):
    page = open_visit()
    page.set_viewport_size({"width": 390, "height": 800})
    page.click("[data-example='1']")
    page.wait_for_selector("#maps .cs-card")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 1
