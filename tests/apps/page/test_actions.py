"""The computations of the page, without Gradio."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.exports import full_record
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.model_choices import ModelChoice, ModelChoices
from clip_surgery.apps.page.results import (
    maps,
    points_and_boxes,
    record,
    tags_with_presence,
)
from clip_surgery.apps.page.sessions import Results, require_session
from clip_surgery.apps.page.settings import DEFAULTS
from clip_surgery.apps.page.tabs.all_tabs import tabs_of
from clip_surgery.apps.page.tabs.maps import drawing
from clip_surgery.apps.page.typed_texts import read_texts
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explainer import Explainer
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.presence import presence
from tests.apps.page.server import LeftHalf
from tests.zoo import tiny_transformers


@pytest.fixture
def session(actions, scene):
    image = actions.prepare_image(scene.image, "scene.png")
    return actions.explain(image, ["car", "pig", "dog"], "demo", "clip_surgery")


def test_explain_equals_the_library(actions, session, scene, explainer):
    expected = explainer([scene.image], ["car", "pig", "dog"])
    torch.testing.assert_close(session.explanation.patch_scores[0], expected.patch_scores[0])
    assert session.explanation.images == ("scene.png",)
    assert (session.model, session.image.size) == ("demo", (320, 320))


def test_a_large_image_is_kept_reduced_and_results_are_in_its_own_pixels(model_choices):
    actions = Actions(models=model_choices, limits=Limits(side=1500))
    image = actions.prepare_image(Image.new("RGB", (3000, 1000), (9, 90, 200)))
    assert image.size == (500, 1500)
    session = actions.explain(image, "dog", "demo", "clip_surgery")
    assert session.image.size == (341, 1024)
    assert session.kept_explanation.framings[0].original == (341, 1024)
    assert record(session.explanation)["size"] == {"height": 500, "width": 1500}
    assert actions.explain(image, "dog", "demo", "gem", keep_side=None).image is image


def test_the_weights_of_a_model_of_the_page_are_read_once(explainer):
    calls = []

    def fingerprint():
        calls.append("called")
        return "0123456789abcdef"

    backbone = replace(explainer.backbone, fingerprint=fingerprint)
    actions = Actions(models=ModelChoices.of([replace(explainer, backbone=backbone, cache=None)]))
    image = actions.prepare_image(Image.new("RGB", (96, 96), (9, 90, 200)))
    for texts in ("dog", "cow", "dog"):
        actions.explain(image, texts, "demo", "clip_surgery")
        actions.models["demo"].explainer.backbone.fingerprint()
    assert calls == ["called"]


def test_texts_are_read():
    texts = ["dog, boat", " cow ", "dog", ""]
    assert read_texts(texts, Limits()) == ("dog", "boat", "cow")
    assert read_texts("dog,cow", Limits()) == ("dog", "cow")


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([], "at least one text"),
        (None, "at least one text"),
        ([" , "], "at least one text"),
        ([str(number) for number in range(25)], "at most 24 texts at once, but got 25"),
        (["a" * 301], "at most 300 characters"),
        ([1], "a list of texts, but got int"),
        ({"dog": 1}, "a list of texts, but got dict"),
        (5, "a list of texts, but got int"),
    ],
)
def test_texts_that_cannot_be_used(texts, reason):
    with pytest.raises(InputError, match=reason):
        read_texts(texts, Limits())


def test_images_that_cannot_be_used(model_choices):
    actions = Actions(models=model_choices, limits=Limits(megapixels=1))
    with pytest.raises(InputError, match="Choose an image first"):
        actions.prepare_image(None)
    with pytest.raises(InputError, match=r"cat\.png: not an image"):
        actions.prepare_image(b"text", "cat.png")
    with pytest.raises(InputError, match=r"cat\.png: 1001 x 1000 px is over the limit"):
        actions.prepare_image(Image.new("L", (1001, 1000)), "cat.png")


def test_unknown_models_and_methods_are_refused(actions, scene):
    image = actions.prepare_image(scene.image)
    for model, method, reason in (
        ("dmo", "gem", "Unknown model 'dmo'. Did you mean 'demo'"),
        (["demo"], "gem", "Unknown model"),
        ("demo", "gme", "Unknown method 'gme'. Did you mean 'gem'"),
        ("demo", None, "Unknown method"),
    ):
        with pytest.raises(UnknownNameError, match=reason):
            actions.explain(image, "dog", model, method)


@pytest.mark.slow
def test_every_offered_method_explains(actions, scene):
    image = actions.prepare_image(scene.image)
    for method in actions.models.first.methods:
        result = record(actions.explain(image, ["dog", "pig"], "demo", method).explanation)
        assert [0 <= text["presence"] <= 1 for text in result["texts"]] == [True, True]


def test_methods_that_a_tower_does_not_support_are_left_out_with_the_reason(explainer):
    siglip = wrap_backbone(tiny_transformers("siglip"))
    choice = ModelChoice.of(replace(explainer, backbone=siglip))
    assert "clip_surgery" in choice.methods
    assert "rollout" not in choice.methods
    assert "class token" in choice.left_out["rollout"]
    with pytest.raises(InputError, match=r"rollout does not work with .*class token"):
        choice.with_method("rollout")


def test_models_need_different_names_and_a_vocabulary(explainer):
    with pytest.raises(InputError, match="vocabulary='small'"):
        ModelChoices.of([replace(explainer, vocabulary=None)])
    for explainers in ([], [explainer, explainer]):
        with pytest.raises(InputError, match="models of different names"):
            ModelChoices.of(explainers)


def test_maps_equal_the_heatmaps_of_the_library(session):
    for contrast in ("text", "image", "presence"):
        expected = heatmaps(session.explanation, contrast=contrast)[0]
        torch.testing.assert_close(maps(session, contrast, side=1000), expected)
    assert maps(session, "text", side=64).shape == (3, 64, 64)
    probabilities = presence(session.explanation)[0]
    torch.testing.assert_close(maps(session, "presence", side=320).amax(dim=(1, 2)), probabilities)


def test_points_tags_and_the_full_record(actions, session):
    by_text = points_and_boxes(session.explanation, 0.5)
    assert len(by_text["car"][0].positives) > 0
    assert (len(by_text["dog"][0]), by_text["dog"][1]) == (0, [])
    tags = tags_with_presence(session.explanation, top=2)
    assert {tag.text for tag, _ in tags} == {"car", "pig"}
    full = full_record(tabs_of(actions), Results(session=session), DEFAULTS)
    assert list(full) == ["explanation", "objects", "tags", "segments"]
    assert len(full["objects"]) == len(full["tags"]) == 3


def test_figure_follows_opacity(session):
    transparent, opaque = drawing(session, opacity=0.0), drawing(session, opacity=1.0)
    assert transparent.size == opaque.size
    assert not np.array_equal(np.asarray(transparent), np.asarray(opaque))


def test_sentence_and_attention(actions, scene):
    image = actions.prepare_image(scene.image)
    explanation = actions.sentence(image, " a pig ", "demo", "clip_surgery")
    assert explanation.sentence == "a pig"
    clip_attention, consistent_attention = actions.attention(image, (319.0, 0.0), "demo")
    assert clip_attention.patch == consistent_attention.patch == (0, 11)
    for sentence, reason in (("", "Type a sentence"), (None, "Type"), ("a" * 301, "at most 300")):
        with pytest.raises(InputError, match=reason):
            actions.sentence(image, sentence, "demo", "clip_surgery")


def test_masks(actions, session, model_choices):
    masks = actions.masks(session)
    assert [mask.text for mask in masks] == ["car", "pig", "dog"]
    assert masks[0].mask[:, :160].all()
    with pytest.raises(InputError, match="no segmenter; start it with --segmenter"):
        Actions(models=model_choices).masks(session)


def test_sam_can_be_the_segmenter(model_choices, session):
    from clip_surgery.segmenters.sam import SamSegmenter
    from tests.segmenters.test_sam import tiny_sam

    actions = Actions(models=model_choices, segmenter=SamSegmenter.wrap(tiny_sam()))
    assert [mask.mask.shape for mask in actions.masks(session)] == [(320, 320)] * 3


def test_a_missing_session_is_refused(session):
    assert require_session(session) is session
    for value in (None, "forged", {"path": "x"}):
        with pytest.raises(InputError, match="Press Explain first"):
            require_session(value)


def test_one_model_runs_at_a_time(model_choices, session):
    class CountingSegmenter(LeftHalf):
        running = max_running = 0

        def __call__(self, image, prompts):
            self.running += 1
            self.max_running = max(self.max_running, self.running)
            threading.Event().wait(0.02)
            self.running -= 1
            return super().__call__(image, prompts)

    segmenter = CountingSegmenter(seconds=0)
    actions = Actions(models=model_choices, segmenter=segmenter)
    threads = [threading.Thread(target=actions.masks, args=(session,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segmenter.max_running == 1


def test_limits_are_checked():
    with pytest.raises(InputError, match="minutes of at least 1, but got 0"):
        Limits(minutes=0)


def test_texts_are_encoded_once_for_all_methods_and_requests(explainer, monkeypatch):
    encoded = []
    plain_encode = Explainer.encode

    def encode(self, texts):
        encoded.append(tuple(texts))
        return plain_encode(self, texts)

    monkeypatch.setattr(Explainer, "encode", encode)
    actions = Actions(models=ModelChoices.of([explainer]))
    image = actions.prepare_image(Image.new("RGB", (96, 96), "grey"))
    first = actions.explain(image, "dog, car", "demo", "clip_surgery")
    again = actions.explain(image, ["dog", "car"], "demo", "clip_surgery")
    actions.explain(image, ["dog", "car"], "demo", "similarity")
    assert encoded == [("dog", "car")]
    assert torch.equal(first.explanation.image_scores, again.explanation.image_scores)
    actions.explain(image, ["car"], "demo", "clip_surgery")
    assert encoded == [("dog", "car"), ("car",)]
