"""Results belong to the image and settings beside them, and what is saved is what is shown."""

import json

import pytest
from PIL import Image

from clip_surgery.apps.page.sessions import Shown
from clip_surgery.errors import InputError
from tests.apps.page.visits import explain, open_tab, upload

pytestmark = pytest.mark.slow


def choose(page, label, value):
    page.get_by_label(label, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


def save(page, button):
    with page.expect_download() as saved:
        page.click(f"#save-{button}")
    return saved.value


def test_a_new_image_clears_the_results(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    open_tab(page, "Words")
    page.get_by_label("Sentence").fill("a pig")
    page.click("#read")
    page.wait_for_selector("#read-words .cs-word")
    page.get_by_label("Remove Image").click()
    page.wait_for_selector("#read-words .cs-hint")
    upload(page, image_files / "red.png")
    page.wait_for_selector("#image img")
    for tab in ("Maps", "Points", "Tags", "Attention", "Segments"):
        open_tab(page, tab)
        page.wait_for_selector(f"#{tab.lower()} .cs-hint")
    page.click("#save-json")
    page.get_by_text("Press Explain first").wait_for()


def test_another_method_marks_the_results_until_explain(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    assert page.locator(".cs-notice").count() == 0
    page.get_by_text("Model and method").click()
    choose(page, "Method", "gem")
    page.get_by_text("These results are for car, pig with demo and clip_surgery").wait_for()
    # What is saved is what is shown, not what is chosen.
    record = json.loads(save(page, "json").path().read_text())
    assert "ClipSurgery" in record["explanation"]["method"]
    page.click("#explain")
    page.wait_for_selector(".cs-notice", state="detached")
    record = json.loads(save(page, "json").path().read_text())
    assert "ClipSurgery" not in record["explanation"]["method"]


def test_save_exports_the_tab_that_is_shown(open_visit, image_files, tmp_path):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    open_tab(page, "Words")
    page.get_by_label("Sentence").fill("a pig")
    page.click("#read")
    page.wait_for_selector("#read-words .cs-word")
    open_tab(page, "Masks")
    page.click("#save-image")
    page.get_by_text("Press Segment objects or click an object first").wait_for()
    page.click("#segment")
    page.wait_for_selector("#masks .cs-layer")
    open_tab(page, "Attention")
    page.locator("#attention .cs-frame").first.click(position={"x": 60, "y": 60})
    page.wait_for_selector("#attention .cs-layer")
    contents = set()
    for tab in ("maps", "points", "tags", "words", "attention", "segments", "masks"):
        open_tab(page, tab.title())
        figure = save(page, "image")
        assert figure.suggested_filename == f"scene.{tab}.png"
        with Image.open(figure.path()) as opened:
            assert opened.width > 300
            contents.add(opened.tobytes())
    assert len(contents) == 7
    record = json.loads(save(page, "json").path().read_text())
    assert {"explanation", "objects", "tags", "segments", "words", "attention", "masks"} == set(
        record
    )
    assert record["words"]["sentence"] == "a pig"
    assert len(record["attention"]["maps"]) == 2


def test_results_of_the_last_image_are_not_kept_for_the_next():
    shown = Shown()
    before = shown.results
    shown.clear()
    with pytest.raises(InputError, match="changed meanwhile"):
        shown.keep(before, "masks", [])
    assert shown.results.by_tab == {}
    shown.keep(shown.results, "masks", [])
    assert shown.results.by_tab == {"masks": []}


def test_the_history_keeps_a_number_of_results_and_their_tabs():
    shown = Shown()
    for number in range(4):
        shown.explained(shown.results, f"session {number}", upload="", kept=3)
        shown.keep(shown.results, "words", number)
    shown.clear()  # a new image clears what is shown, not the history
    assert shown.results.session is None
    assert shown.go_back(0).session == "session 1"
    assert shown.results.by_tab == {"words": 1}
    with pytest.raises(InputError, match="no longer keeps this result"):
        shown.go_back(3)
    late = shown.results
    shown.go_back(2)
    with pytest.raises(InputError, match="changed meanwhile"):
        shown.explained(late, "session 4", upload="", kept=3)
