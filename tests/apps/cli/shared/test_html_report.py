"""The HTML report: one file, safe whatever the names are, and usable in a browser."""

import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.cli.shared.html_report import html_report, image_card
from clip_surgery.inputs.images import read_image

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script>\x1b[31m"


def card(name="street.png", texts=("dog", "cat"), scores=(0.3, 0.1), presences=(0.9, 0.0)):
    image = read_image(np.full((30, 40, 3), 90, np.uint8), name=name)
    heat = torch.linspace(0, 1, 40).expand(len(texts), 30, 40)
    return image_card(image, heat, texts, scores, presences)


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.links = [], []

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "onerror")]


def tags_of(page):
    parser = Tags()
    parser.feed(page)
    return parser


def test_the_report_is_one_file_without_links_to_others():
    page = html_report("explain", [card(), card("b.png")])
    tags = tags_of(page)
    assert tags.names.count("article") == 2
    assert len(tags.links) == 6  # for each image a thumbnail and two maps
    assert all(link.startswith("data:image/") for link in tags.links)
    assert not re.search(r"https?://", page)


def test_names_and_texts_are_escaped():
    harmless = tags_of(html_report("explain", [card()]))
    hostile = tags_of(html_report("explain", [card(f"{HOSTILE}.png", (HOSTILE, "cat"))]))
    assert hostile.names == harmless.names
    page = html_report("explain", [card("caf\udce9.png")])
    assert "caf\\xe9.png" in page
    page.encode("utf-8")


def test_absent_texts_are_pale_and_presence_may_be_unknown():
    assert card().count('class="absent"') == 1
    assert 'class="absent"' not in card(presences=None)


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium")
    if chromium is None:
        if os.environ.get("CLIP_SURGERY_CI"):
            pytest.fail("CLIP_SURGERY_CI is set, but chromium is not installed")
        pytest.skip("chromium is not installed")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium_browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        yield chromium_browser
        chromium_browser.close()


@pytest.mark.slow
def test_maps_are_shown_on_hover_and_cards_are_sorted_by_score(browser, tmp_path):
    cards = [
        card("a.png", scores=(0.1, 0.5)),
        card(f"{HOSTILE}.png"),
        card("c.png", (HOSTILE, "cat")),
    ]
    path = tmp_path / "explain.html"
    path.write_text(html_report("explain", cards), encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 800})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("dialog", lambda dialog: problems.append(dialog.message))
    page.goto(path.as_uri())
    page.hover("article >> nth=0 >> button >> nth=1")
    shown = page.evaluate(
        "[...document.querySelector('article').querySelectorAll('.layer')]"
        ".map((layer) => layer.classList.contains('shown'))"
    )
    assert shown == [False, True]
    page.select_option("#key", label="score of cat")
    assert page.locator("h2").first.inner_text() == "a.png"
    page.select_option("#key", label="score of dog")
    assert page.locator("h2").last.inner_text() == "a.png"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert problems == []


def test_images_of_any_shape_have_a_card():
    for size in ((1, 1), (3000, 2), (2, 3000)):
        image = read_image(Image.new("RGB", size), name="a.png")
        assert "<article" in image_card(
            image, torch.zeros(1, size[1], size[0]), ["dog"], [0.1], None
        )
