"""The page in a real browser."""

import json
import re

import pytest
from PIL import Image

from clip_surgery.figures.overlay import OPACITY
from tests.apps.page.visits import explain, open_tab, titles, type_texts, upload

pytestmark = pytest.mark.slow


def test_upload_and_explain(open_visit, site, image_files):
    page = open_visit()
    before = site.runs
    explain(page, image_files / "scene.png", "car", "pig", "dog")
    assert titles(page, "#maps") == ["car", "pig", "dog"]
    assert site.runs == before + 1
    assert page.locator("#maps .cs-faint").count() == 1  # there is no dog
    for tab, element in (("Points", ".cs-on"), ("Tags", "tbody tr"), ("Segments", ".cs-layer")):
        open_tab(page, tab)
        page.wait_for_selector(f"#{tab.lower()} {element}")
    assert page.locator("#tags tbody tr").count() == 3
    assert site.runs == before + 1  # one run of the model serves all tabs


def test_opacity_needs_no_request_and_contrast_no_run_of_the_model(open_visit, site, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "dog")
    layer = page.locator("#maps .cs-layer").first
    assert layer.evaluate("e => getComputedStyle(e).opacity") == str(OPACITY)
    runs, requests = site.runs, len(page.requests)
    page.locator("#opacity input[type=number]").fill("0.3")
    page.locator("#opacity input[type=number]").press("Tab")
    page.wait_for_function(
        "getComputedStyle(document.querySelector('#maps .cs-layer')).opacity == '0.3'"
    )
    assert len(page.requests) == requests  # the browser changes the opacity without a request
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
    page.get_by_text("broken.png: not an image, or not readable").wait_for()
    page.wait_for_selector("#image img", state="detached")  # the image is removed
    upload(page, image_files / "large.png")
    page.get_by_text("over the limit of 1,000,000 pixels").wait_for()
    page.reload()
    page.wait_for_selector("#explain")
    page.click("#explain")
    page.get_by_text("Choose an image first").wait_for()
    assert site.runs == runs


def test_texts_are_never_read_as_markup(open_visit, image_files):
    page = open_visit()
    markup = "<img src=x onerror=document.title='hacked'>"
    explain(page, image_files / "scene.png", "car", markup)
    open_tab(page, "Tags")
    page.get_by_role("rowheader", name=markup).wait_for()
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
    record = json.loads((tmp_path / "scene.json").read_text())
    assert [text["text"] for text in record["explanation"]["texts"]] == ["car", "dog"]
    with page.expect_download() as saved:
        page.click("#save-image")
    saved.value.save_as(tmp_path / "scene-maps.png")
    with Image.open(tmp_path / "scene-maps.png") as figure:
        assert figure.width > 600


def test_visitors_do_not_get_results_of_each_other(open_visit, site, image_files):
    first, second = open_visit(), open_visit()
    upload(first, image_files / "scene.png")
    upload(second, image_files / "red.png")
    first.wait_for_selector("#image img")
    second.wait_for_selector("#image img")
    type_texts(first, "car", "pig")
    type_texts(second, "clock")
    first.click("#explain")
    second.click("#explain")
    first.wait_for_selector("#maps .cs-card")
    second.wait_for_selector("#maps .cs-card")
    assert titles(first, "#maps") == ["car", "pig"]
    assert titles(second, "#maps") == ["clock"]
    for page in (first, second):  # each session contains the image of its visitor
        page.get_by_label("all texts on one scale").check()
        page.wait_for_function("document.querySelector('#contrast input:checked').value == 'image'")
        with page.expect_download() as saved:
            page.click("#save-json")
        name = json.loads(saved.value.path().read_text())["explanation"]["image"]
        assert name == ("scene.png" if page is first else "red.png")
    # A third visitor starts without a session, and the address of an upload cannot be guessed.
    third = open_visit()
    third.click("#save-json")
    third.get_by_text("Press Explain first").wait_for()
    source = first.locator("#image img").first.get_attribute("src")
    assert re.search(r"/[0-9a-f]{64}/scene\.png", source), source


def test_a_narrow_window_needs_no_horizontal_scrolling(open_visit):
    page = open_visit()
    page.set_viewport_size({"width": 390, "height": 800})
    page.click("[data-example='1']")
    page.wait_for_selector("#maps .cs-card")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 1
