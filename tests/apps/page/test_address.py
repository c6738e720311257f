"""The state of the page in its address: a reload keeps it, and links are checked."""

from urllib.parse import parse_qs, urlsplit

import pytest

from clip_surgery.apps.page.address import QUERY_CHARACTERS, read_address
from clip_surgery.apps.page.examples import examples
from tests.apps.page.visits import explain, open_tab, titles

TABS = ("maps", "points")
NUMBERS = ("opacity", "min_presence", "example")
NO_NUMBERS = ("nan", "inf", "-1", "1e999", "x", "0x1", "33", "\u0663")


def read(actions, query):
    return read_address(query, actions, examples()[:1], TABS)


def test_an_address_is_read(actions):
    query = "?text=car&text=a+pig&model=demo&method=gem&sentence=a+dog&why=a+cow&rival=a+pig"
    state, errors = read(
        actions,
        f"{query}&tab=points&contrast=image&opacity=0.25&min_presence=0.5&background=none&example=0",
    )
    assert errors == []
    assert (state.texts, state.model, state.method) == (("car", "a pig"), "demo", "gem")
    assert state.sentences == {"sentence": "a dog", "why": "a cow", "rival": "a pig"}
    assert (state.tab, state.example) == ("points", 0)
    assert state.settings == {
        "contrast": "image", "opacity": 0.25, "min_presence": 0.5, "background": "none",
    }  # fmt: skip
    state, errors = read(actions, "?__theme=dark")
    assert (state.texts, state.model, state.settings, errors) == (None, None, {}, [])


@pytest.mark.parametrize(
    "query",
    [
        *(f"{name}=%00%ff" for name in ("model", "method", "tab", "contrast", "background")),
        *(f"{name}={value}" for name in NUMBERS for value in NO_NUMBERS),
        *(f"text={'a' * 301}", "&".join(f"text={number}" for number in range(25))),
        *(f"{name}={'a' * 301}" for name in ("sentence", "why", "rival")),
        *("contrast=none", "model=../../etc/passwd", "method=Surgery"),
        *("&".join(["text=a"] * 101), "text=" + "a" * QUERY_CHARACTERS, 7),
    ],
)
def test_hostile_values_are_left_out_with_a_reason(actions, query):
    state, errors = read(actions, query)
    assert len(errors) == 1
    given = (state.texts, state.model, state.method, state.tab, state.example)
    assert (given, state.settings, state.sentences) == ((None,) * 5, {}, {})
    assert "Traceback" not in str(errors[0])


def query_of(page):
    return parse_qs(urlsplit(page.url).query)


def wait_for_query(page, text):
    page.wait_for_function("text => location.search.includes(text)", arg=text)


@pytest.mark.slow
def test_a_reload_keeps_all_but_the_upload(open_visit, image_files):
    page = open_visit()
    page.wait_for_function("window.clipSurgery?.isOpen")
    assert query_of(page) == {}
    explain(page, image_files / "scene.png", "car", "a pig")
    page.get_by_label("by presence").check()
    open_tab(page, "Words")
    page.get_by_label("Sentence").fill("a pig & a car?")
    page.get_by_text("Model and method").click()
    page.get_by_label("Method", exact=True).click()
    page.get_by_role("option", name="gem", exact=True).click()
    wait_for_query(page, "method=gem")
    expected = {
        "text": ["car", "a pig"], "method": ["gem"], "contrast": ["presence"], "tab": ["words"],
        "sentence": ["a pig & a car?"],
    }  # fmt: skip
    assert query_of(page) == expected
    page.reload()
    page.wait_for_function("window.clipSurgery?.isOpen")
    page.wait_for_function("document.querySelector('#sentence textarea, #sentence input').value")
    assert page.get_by_label("Sentence").input_value() == "a pig & a car?"
    assert page.locator("#image img").count() == 0
    assert "a pig" in page.locator("#texts").inner_text()
    assert page.get_by_role("tab", name="Words").get_attribute("aria-selected") == "true"
    page.get_by_text("Model and method").click()
    assert page.get_by_label("Method", exact=True).input_value() == "gem"
    open_tab(page, "Maps")
    assert page.locator("#contrast input:checked").get_attribute("value") == "presence"
    page.wait_for_function("!location.search.includes('tab=')")
    assert query_of(page) == {name: expected[name] for name in expected if name != "tab"}


@pytest.mark.slow
def test_a_link_has_the_texts_of_a_match(open_visit):
    page = open_visit("?tab=match&why=a+car+%26+a+pig&rival=%3Cb%3E")
    page.wait_for_function("window.clipSurgery?.isOpen")
    page.wait_for_function("document.querySelector('#match-rival :is(textarea, input)').value")
    assert page.get_by_label("Why this text").input_value() == "a car & a pig"
    assert page.get_by_label("And not this one").input_value() == "<b>"
    page.get_by_label("And not this one").fill("")
    page.wait_for_function("!location.search.includes('rival=')")
    assert query_of(page) == {"tab": ["match"], "why": ["a car & a pig"]}


@pytest.mark.slow
def test_a_link_with_an_example_shows_its_results(open_visit):
    page = open_visit("?example=1&text=backpack&text=dog&tab=points&opacity=0.2")
    page.wait_for_selector("#points .cs-card")
    assert titles(page, "#points") == ["backpack", "dog"]
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue"
                         "('--cs-opacity')") == "0.2"  # fmt: skip
    wait_for_query(page, "example=1")


@pytest.mark.slow
def test_a_link_with_an_example_only_has_its_texts(open_visit):
    page = open_visit("?example=0")
    page.wait_for_selector("#maps .cs-card")
    assert titles(page, "#maps") == list(examples()[0].texts)


@pytest.mark.slow
def test_a_hostile_link_is_opened_with_a_message(open_visit):
    page = open_visit("?text=<img src=x onerror=document.title='hacked'>&model=../x&opacity=nan")
    page.get_by_text("Parts of the link were left out. Unknown model").wait_for()
    page.locator("#texts", has_text="<img src=x").wait_for()
    assert page.title() == "CLIP Surgery"
