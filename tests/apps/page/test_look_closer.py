"""Segments, comparisons, all methods and heads in a real browser."""

import json

import pytest

from clip_surgery.methods.registry import METHODS
from tests.apps.page.visits import explain, open_tab, titles, upload

pytestmark = pytest.mark.slow
SPLIT = "getComputedStyle(document.querySelector('#compare .cs-right')).clipPath"


def alpha_at(page, x, y):
    """Opacity of the dark layer over the segments at a share of width and height."""
    return page.evaluate(
        """([x, y]) => {
          const canvas = document.querySelector('#segments canvas');
          const [column, row] = [x * canvas.width, y * canvas.height].map(Math.floor);
          return canvas.getContext('2d').getImageData(column, row, 1, 1).data[3];
        }""",
        [x, y],
    )


def test_a_click_on_a_segment_leaves_only_its_text(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    open_tab(page, "Segments")
    page.get_by_label("every pixel").check()
    buttons = page.locator("#segments .cs-legend button")
    page.wait_for_function(
        "[...document.querySelectorAll('#segments .cs-legend span')]"
        ".reduce((sum, share) => sum + parseFloat(share.textContent), 0) > 99"
    )
    frame = page.locator("#segments .cs-frame")
    box = frame.bounding_box()
    frame.click(position={"x": 0.6 * box["width"], "y": 0.7 * box["height"]})
    page.wait_for_selector("#segments canvas")
    pressed = page.locator("#segments .cs-legend [aria-pressed=true]")
    assert pressed.count() == 1
    first = pressed.get_attribute("data-class")
    assert alpha_at(page, 0.6, 0.7) == 0  # the image is seen where the segment is
    buttons.nth(1 if buttons.first.get_attribute("data-class") == first else 0).click()
    assert pressed.get_attribute("data-class") != first
    assert alpha_at(page, 0.6, 0.7) > 200
    pressed.press("Enter")  # again: all texts
    page.wait_for_selector("#segments canvas", state="detached")


def test_a_click_on_an_object_segments_it(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    open_tab(page, "Masks")
    page.locator("#masks .cs-click .cs-frame").click(position={"x": 60, "y": 60})
    page.wait_for_selector("#masks .cs-zoom .cs-layer")
    [title] = titles(page, "#masks .cs-zoom")
    assert title.startswith("object at x ")
    page.click("#segment")
    page.wait_for_selector("#masks [data-title=car]")
    assert titles(page, "#masks .cs-zoom") == [title, "car"]


def test_two_methods_are_compared_by_slider_pointer_and_keys(open_visit, site, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    open_tab(page, "Compare")
    page.click("#compare-button")
    page.wait_for_selector("#compare .cs-card")
    assert titles(page, "#compare") == ["car", "pig"]
    layers = page.locator("#compare .cs-card").first.locator(".cs-layer")
    assert layers.nth(0).get_attribute("src") != layers.nth(1).get_attribute("src")
    runs, at_half = site.runs, page.evaluate(SPLIT)
    page.get_by_role("slider", name="Border: left of it clip_surgery").press("Home")
    assert page.evaluate(SPLIT) != at_half
    box = page.locator("#compare .cs-frame").first.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 50)
    page.mouse.up()
    assert 75 <= int(page.locator("#compare input[type=range]").input_value()) <= 85
    readout = page.locator("#cs-readout").inner_text()
    assert readout.startswith("car: ")
    assert " and " in readout  # the values of both
    assert site.runs == runs


def test_all_methods_are_shown_for_a_chosen_text(open_visit, site, image_files, model_choices):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    open_tab(page, "Methods")
    page.click("#all-methods")
    page.wait_for_selector("#methods .cs-card", timeout=60_000)
    methods = titles(page, "#methods")
    assert methods == list(model_choices.first.methods)
    assert set(methods) <= set(METHODS)
    runs = site.runs
    page.locator("#methods [data-text='1']").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#methods [data-text='1'][aria-pressed=true]")
    page.wait_for_function("document.activeElement.matches('#methods [data-text=\"1\"]')")
    label = page.locator("#methods .cs-frame").first.get_attribute("aria-label")
    assert label.startswith("Map of pig by ")
    assert site.runs == runs
    with page.expect_download() as saved:
        page.click("#save-json")
    record = json.loads(saved.value.path().read_text())
    assert set(record["methods"]) == set(methods)


def test_the_map_of_a_chosen_head(open_visit, site, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    open_tab(page, "Heads")
    page.click("#show-heads")
    page.wait_for_selector("#heads table")
    assert page.locator("#heads [data-block]").count() == 8 * 2
    runs = site.runs
    page.click("#heads [data-block='3'][data-head='1']")
    page.wait_for_selector("#heads .cs-card[data-title='block 3, head 1']")
    page.click("#heads [data-text='1']")
    page.wait_for_selector("#heads [data-text='1'][aria-pressed=true]")
    label = page.locator("#heads .cs-frame").get_attribute("aria-label")
    assert " for pig: adds " in label
    assert site.runs == runs


def test_why_one_text_and_not_another(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    open_tab(page, "Match")
    page.get_by_label("Why this text").fill("a photo of a car")
    page.get_by_label("Why this text").press("Enter")
    page.wait_for_selector("#match .cs-card[data-title='car']")
    word = page.locator("#match button.cs-word", has_text="car")
    word.focus()
    assert page.locator("#match .cs-marked").get_attribute("data-title") == "car"
    page.get_by_label("And not this one").fill("a photo of a pig")
    page.click("#show-why")
    title = "why a photo of a car, not a photo of a pig"
    frame = page.locator(f"#match .cs-card[data-title='{title}'] .cs-frame")
    frame.wait_for()
    assert "adds most at the " in frame.get_attribute("aria-label")
    box, values = frame.bounding_box(), []
    for x in (0.1, 0.25, 0.4, 0.55, 0.7, 0.85):
        for y in (0.2, 0.4, 0.6, 0.8):
            frame.hover(position={"x": x * box["width"], "y": y * box["height"]})
            text = page.locator("#cs-readout").inner_text().removeprefix(f"{title}: ")
            values.append(float(text.replace("\u2212", "-")))
    assert min(values) < 0 < max(values)  # parts speak for the one and for the other


def test_the_regions_of_words(open_visit, image_files):
    page = open_visit()
    page.wait_for_function("window.clipSurgery?.isOpen")
    upload(page, image_files / "scene.png")
    page.wait_for_selector("#image img")
    open_tab(page, "Words")
    page.get_by_label("Sentence").fill("a car and a pig")
    page.click("#word-regions")
    regions = "#read-words .cs-card[data-title='car: regions']"
    page.wait_for_selector(f"{regions} .cs-layer", timeout=90_000)  # it runs 500 masked images
    assert "The fit explains " in page.locator("#read-words").inner_text()
    word = page.locator("#read-words button.cs-word", has_text="car")
    word.focus()  # marks the map of the word, not that of its regions
    assert page.locator("#read-words .cs-marked").get_attribute("data-title") == "car"
    page.locator(f"{regions} .cs-frame").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "/car: regions: .0/.test(document.querySelector('#cs-readout').textContent)"
    )
    page.click("#read")
    page.wait_for_selector(regions, state="detached")


def test_an_image_is_compared_with_images(open_visit, site, image_files):
    page = open_visit()
    page.wait_for_function("window.clipSurgery?.isOpen")
    upload(page, image_files / "scene.png")
    page.wait_for_selector("#image img")
    open_tab(page, "Match")
    page.get_by_text("Compare with images").click()
    page.set_input_files("#match-like input[type=file]", image_files / "broken.png")
    page.get_by_text("broken.png: not an image, or not readable.").wait_for()
    page.set_input_files("#match-like input[type=file]", image_files / "scene.png")
    page.wait_for_selector("#match-like img")
    page.click("#show-why")
    page.wait_for_selector("#match .cs-pair .cs-layer")
    assert page.locator("#match .cs-pair .cs-frame").count() == 2
    label = page.locator("#match .cs-pair .cs-frame").first.get_attribute("aria-label")
    assert label.startswith("What each part of scene.png adds to its similarity")
    assert page.locator("#match-notice .cs-notice").count() == 0
    page.locator("#match .cs-pair .cs-frame").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('#cs-readout').textContent.includes('0.')")
    runs = site.runs
    page.get_by_label("And not this one").fill("a photo of a pig")
    page.get_by_text("This result is for scene.png with demo").wait_for()
    assert site.runs == runs
    page.click("#show-why")
    page.wait_for_selector("#match .cs-card[data-title^='why scene.png, not a photo of a pig']")
    page.wait_for_selector("#match-notice .cs-notice", state="detached")
    page.wait_for_function("location.search.includes('rival=a+photo+of+a+pig')")
    page.get_by_label("Remove Image").first.click()
    page.wait_for_selector("#match .cs-hint")


def test_the_attention_of_a_chosen_head(open_visit, site, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    open_tab(page, "Attention")
    page.click("#heads-of-image")
    page.wait_for_selector("#attention .cs-thumbs")
    assert page.locator("#attention .cs-thumbs button").count() == 8 * 2
    runs = site.runs
    page.locator("#attention [data-block='3'][data-head='1']").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#attention .cs-card[data-title='block 3, head 1: attention']")
    page.wait_for_function("document.activeElement.matches('#attention [data-block=\"3\"]')")
    page.click("#attention [data-text='1']")
    page.wait_for_selector("#attention [data-text='1'][aria-pressed=true]")
    assert site.runs == runs
    page.locator("#attention .cs-frame").last.click(position={"x": 60, "y": 60})
    page.get_by_text("What the patch in row").wait_for()  # the heads follow the point
    page.wait_for_selector("#attention .cs-card[data-title='block 3, head 1: attention']")
