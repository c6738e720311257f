"""The page for visitors with a keyboard, a screen reader, a small window or a dark theme."""

import re

import pytest

from tests.apps.page.visits import explain, open_tab

pytestmark = pytest.mark.slow

pytest.importorskip("playwright")
TABS = (
    *("Maps", "Points", "Tags", "Words", "Match", "Attention", "Segments", "Masks"),
    *("Compare", "Methods", "Heads"),
)
FOCUSED = "document.activeElement"


def fill_tab(page, tab):
    """Show a result in tabs that need an action of their own."""
    if tab == "Words":
        page.click("#read")
        page.wait_for_selector("#read-words .cs-word")
    elif tab == "Match":
        page.get_by_label("Why this text").fill("a photo of a car")
        page.get_by_label("And not this one").fill("a photo of a pig")
        page.get_by_text("Compare with images").click()
        page.click("#show-why")
        page.wait_for_selector("#match .cs-layer")
    elif tab == "Attention":
        page.locator("#attention .cs-frame").first.click(position={"x": 60, "y": 60})
        page.wait_for_selector("#attention .cs-layer")
        page.click("#heads-of-point")
        page.wait_for_selector("#attention .cs-thumbs")
    elif tab == "Masks":
        page.click("#segment")
        page.wait_for_selector("#masks .cs-layer")
    elif tab in ("Compare", "Methods", "Heads"):
        page.click(
            {"Compare": "#compare-button", "Methods": "#all-methods"}.get(tab, "#show-heads")
        )
        page.wait_for_selector(f"#{tab.lower()} .cs-layer")


LOOKS = (("light", 1280), ("dark", 390))
SETTLED = """!document.querySelector('.wrap.translucent:not(.hide), .pending')
    && !document.getAnimations().some(animation => animation instanceof CSSTransition)"""


def test_axe_finds_nothing_on_any_tab(open_visit):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = open_visit(scheme=LOOKS[0][0], width=LOOKS[0][1])

    def violations(part="body"):
        found = axe.run(page, part).response["violations"]
        return [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in found]

    def change_look(scheme, width):  # the results stay, so that nothing is computed again
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", scheme == "dark")
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(SETTLED)

    page.wait_for_function("window.clipSurgery?.isOpen")
    for look in LOOKS:
        change_look(*look)
        assert violations() == [], look
    page.click("[data-example='0']")
    page.wait_for_selector("#maps .cs-card")
    for tab in TABS:
        change_look(*LOOKS[0])
        open_tab(page, tab)
        fill_tab(page, tab)
        for look in LOOKS:
            change_look(*look)
            assert violations("#results") == [], (tab, look)


def test_arrow_keys_reach_every_tab_with_a_visible_focus(open_visit):
    page = open_visit(width=390)
    page.get_by_role("tab", name="Maps").focus()
    reached = []
    for _ in TABS:
        page.keyboard.press("ArrowRight")
        reached.append(page.evaluate(f"{FOCUSED}.textContent.trim()"))
        assert page.evaluate(f"{FOCUSED}.getAttribute('aria-selected')") == "true"
        assert page.evaluate(f"getComputedStyle({FOCUSED}).outlineStyle") == "solid"
    assert reached == [*TABS[1:], TABS[0]]
    page.keyboard.press("End")
    assert page.evaluate(f"{FOCUSED}.textContent.trim()") == TABS[-1]


def test_attention_is_chosen_by_keys(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    open_tab(page, "Attention")
    page.locator("#attention .cs-frame").first.focus()
    for key in ("ArrowLeft", "ArrowUp", "ArrowUp"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("#attention .cs-layer")
    first = page.locator("#attention .cs-note").inner_text()
    assert first in ("x 151, y 143 px", "x 151, y 144 px", "x 152, y 143 px", "x 152, y 144 px")
    page.wait_for_function("document.activeElement.matches('#attention .cs-frame')")
    page.keyboard.press("ArrowRight")  # the next point starts from the last one
    page.keyboard.press("Enter")
    page.get_by_text(re.compile("x (159|160), y 14[34] px")).wait_for()


def test_alternative_texts_say_what_the_map_shows(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "dog")
    alternative = page.locator("#maps .cs-frame").first.get_attribute("aria-label")
    assert alternative.startswith("Map of car: presence ")
    assert "strongest at the " in alternative
    assert "probably absent" in page.locator("#maps .cs-faint .cs-frame").get_attribute(
        "aria-label"
    )
    assert "probably absent" in page.locator("#maps .cs-faint .cs-note").inner_text()


def test_a_narrow_window_scrolls_to_readable_results(open_visit):
    page = open_visit(width=390)
    page.click("[data-example='1']")
    page.wait_for_selector("#maps .cs-card")
    page.wait_for_function("document.querySelector('#results').getBoundingClientRect().top < 100")
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(overflow) <= 1
    for title in page.locator("#maps figcaption b").all():
        words, box = title.inner_text().split(), title.bounding_box()
        assert box["height"] < 26 * len(words), words  # a word is not broken into letters


def test_value_and_word_under_the_cursor(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car", "pig")
    frame = page.locator("#maps .cs-frame").first
    values = []
    for x in range(10, 200, 10):
        frame.hover(position={"x": x, "y": 150})
        text = page.locator("#cs-readout").inner_text()
        assert text.startswith("car: ")
        values.append(float(text.removeprefix("car: ")))
    assert 0 <= min(values) < max(values) <= 1
    assert "own lowest" in page.locator("#maps .cs-scale").inner_text()
    open_tab(page, "Segments")
    page.get_by_label("every pixel").check()
    for attempt in range(100):  # the segments of every pixel arrive some time after the click
        page.locator("#segments .cs-frame").hover(position={"x": 100 + attempt % 2, "y": 100})
        readout = page.locator("#cs-readout").inner_text()
        if readout != "no text":
            break
        page.wait_for_timeout(100)
    assert readout in ("car", "pig")


def test_the_map_of_a_word_stands_out_while_the_cursor_is_on_it(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    open_tab(page, "Words")
    page.get_by_label("Sentence").fill("a pig and a car")
    page.click("#read")
    for action in ("hover", "focus"):
        getattr(page.locator("button.cs-word", has_text="pig"), action)()
        assert page.locator(".cs-marked").get_attribute("data-title") == "pig"


def test_opacity_and_contrast_are_below_the_maps(open_visit, image_files):
    page = open_visit()
    explain(page, image_files / "scene.png", "car")
    top = {name: page.locator(f"#{name}").bounding_box()["y"] for name in ("maps", "contrast")}
    assert top["maps"] < top["contrast"] < page.locator("#opacity").bounding_box()["y"]
