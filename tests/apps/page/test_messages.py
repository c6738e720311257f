"""Messages are in words of the page, not of the Python functions behind it."""

import io
import re
from dataclasses import replace

import pytest
from PIL import Image

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.exports import Exports
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.messages import page_message
from clip_surgery.apps.page.model_choices import ModelChoice, ModelChoices
from clip_surgery.apps.page.sessions import Results, Shown
from clip_surgery.apps.page.settings import DEFAULTS
from clip_surgery.apps.page.tabs.all_tabs import tabs_of
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import (
    ClipSurgeryError,
    MissingExtraError,
    UnsupportedModelError,
    WeightsError,
)
from tests.zoo import tiny_transformers

PYTHON_WORDS = re.compile(
    r"\b\w+=|\b(argument|explainer|vocabulary|dtype|tensor|Pillow|InputError|None)\b|clip_surgery\."
    r"|pip install|\(H, W|\(C,|`"
)


def message(action):
    with pytest.raises(ClipSurgeryError) as raised:
        action()
    return page_message(raised.value)


@pytest.fixture(scope="module")
def small(explainer):
    """A page whose model has no heads to decompose, no class token and a short context."""
    backbone = wrap_backbone(tiny_transformers("siglip"))
    choice = ModelChoice.of(replace(explainer, backbone=backbone))
    return Actions(models=ModelChoices({"small": choice}), limits=Limits(megapixels=1, file_mb=1))


@pytest.fixture(scope="module")
def image(small):
    return small.prepare_image(Image.new("RGB", (64, 48), (200, 30, 30)), "red.png")


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (lambda a, i: a.explain(i, ["word " * 50], "small", "gem"), "too long for this model"),
        (lambda a, i: a.explain(i, ["\ud800"], "small", "gem"), "Text 1 has characters"),
        (lambda a, i: a.explain(i, [], "small", "gem"), "at least one text"),
        (lambda a, i: a.explain(i, ["dog"], "small", "rollout"), "needs a class token"),
        (lambda a, i: a.explain(i, ["dog"], "other", "gem"), "Unknown model 'other'"),
        (lambda a, i: a.explain(i, ["dog"], "small", "other"), "Unknown method 'other'"),
        (lambda a, i: a.sentence(i, " ", "small", "gem"), "Type a sentence"),
        (lambda a, i: a.sentence(i, "\n\t.", "small", "rollout"), "needs a class token"),
        (lambda a, i: a.match(i, " ", None, "small"), "Type a sentence about the image"),
        (lambda a, i: a.match(i, None, None, "small"), "Type a sentence about the image"),
        (lambda a, i: a.match(i, "a dog", 7, "small"), "Type a sentence about the image"),
        (lambda a, i: a.match(i, "a dog", "\ud800", "small"), "characters that are not valid"),
        (lambda a, i: a.match(i, "a " * 140, "", "small"), "too long|at most 128 words"),
        (lambda a, i: a.match(i, "a" * 301, "", "small"), "at most 300 characters"),
        (lambda a, i: a.match(i, "a dog", "", ["small"]), "Unknown model"),
        (lambda a, i: a.head_attention(i, (900, 3), "small"), "expected a point within"),
        (lambda a, i: a.attention(i, (900, 3), "small"), "red.png: expected a point within"),
        (lambda a, i: a.prepare_image(None), "Choose an image first"),
        (lambda a, i: a.prepare_image(b"text", "x.png"), "x.png: not an image, or not readable"),
        (lambda a, i: a.prepare_image(b"", "x.png"), "x.png: the file is empty"),
        (lambda a, i: a.prepare_image(Image.new("1", (2000, 999)), "x.png"), "over the limit of"),
        (lambda a, i: a.prepare_image(png()[:-30], "x.png"), "x.png: damaged or unsupported"),
    ],
)
def test_messages_of_actions(small, image, run, expected):
    text = message(lambda: run(small, image))
    assert re.search(expected, text), text
    assert not PYTHON_WORDS.search(text), text


def png():
    content = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(content, "PNG")
    return content.getvalue()


def test_messages_of_saving(small, actions, scene):
    image = actions.prepare_image(scene.image)
    session = actions.explain(image, ["car"], "demo", "grad_cam")
    tabs = tabs_of(actions)
    results = Results(session=session)
    text = message(lambda: tabs["segments"].figure(results, DEFAULTS))
    assert text.startswith("This method gives no score for single pixels")
    exports = Exports(tabs=tabs)
    values = ("text", 0.5, 0, "none")
    for name in tabs:
        text = message(lambda name=name: exports.save_image(Shown(), name, *values))
        assert "first" in text
        assert not PYTHON_WORDS.search(text), text
    for wrong in (("no", 0.5, 0, "none"), ("text", 5, 0, "none"), ("text", 0, "x", "none")):
        text = message(lambda wrong=wrong: exports.save_json(Shown(), "maps", *wrong))
        assert not PYTHON_WORDS.search(text), text


def test_a_model_without_heads(small, image, monkeypatch):
    def refuse(*_):
        raise UnsupportedModelError("The image tower has no blocks whose parts could be read.")

    monkeypatch.setattr("clip_surgery.apps.page.actions.decompose", refuse)
    text = message(lambda: small.decompose(image, ["dog"], "small"))
    assert text == "The scores of small are no sums over heads. Choose another model."


def test_a_model_whose_similarity_is_no_sum_or_without_attention(small, image, monkeypatch):
    def refuse(*_):
        raise UnsupportedModelError("The image tower has no blocks whose parts could be read.")

    for name in ("explain_match", "head_attention"):
        monkeypatch.setattr(f"clip_surgery.apps.page.actions.{name}", refuse)
    text = message(lambda: small.match(image, "a dog", "", "small"))
    assert text == (
        "The similarity of small is no sum over parts of the image. Choose another model."
    )
    text = message(lambda: small.head_attention(image, None, "small"))
    assert text == "small has no heads whose attention could be shown. Choose another model."


class Event:
    """An event of the browser with the given values."""

    def __init__(self, **values):
        vars(self).update(values)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"text": 2},
        {"text": "0"},
        {"text": float("nan")},
        {"block": -1, "head": 0},
        {"block": 0, "head": 99},
        {"block": [0], "head": 0},
        {"block": True, "head": 0},
        {"block": 0},
    ],
)
def test_a_head_that_the_page_does_not_show_is_refused(actions, scene, values):
    image = actions.prepare_image(scene.image)
    session = actions.explain(image, ["car"], "demo", "similarity")
    tab, shown = tabs_of(actions)["attention"], Shown(results=Results(session=session))
    assert message(lambda: tab.choose_head(shown, Event(**values))) == "Press All heads first."
    assert "Choose a point first" in message(lambda: tab.show_point_heads(shown))
    tab.show_image_heads(shown)
    before = shown.results.by_tab["attention"]
    text = message(lambda: tab.choose_head(shown, Event(**values)))
    assert text.startswith("Expected a ")
    assert not PYTHON_WORDS.search(text), text
    assert shown.results.by_tab["attention"] is before
    tab.choose_head(shown, Event(block=2, head=1))
    tab.choose_head(shown, Event(text=1))
    heads = shown.results.by_tab["attention"].heads
    assert (heads.chosen, heads.kind) == ((2, 1), 1)
    tab.choose_point(shown, Event(x=0.5, y=0.5))  # the heads follow the point
    assert shown.results.by_tab["attention"].heads.attention.patch == (6, 6)


def test_what_only_the_operator_can_change():
    for error in (
        WeightsError("Check the weights for NaN."),
        MissingExtraError.of("page", "gradio"),
    ):
        text = page_message(error)
        assert "the person who runs this page" in text
        assert not PYTHON_WORDS.search(text)
