"""What the buttons do, without Gradio."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.page.actions import Actions
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.model_choices import ModelChoice, ModelChoices
from clip_surgery.apps.page.results import (
    drawing,
    full_record,
    maps,
    points_and_boxes,
    record,
    tags_with_presence,
)
from clip_surgery.apps.page.sessions import require_session
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.presence import presence
from tests.apps.page.server import LeftHalf
from tests.zoo import tiny_transformers


@pytest.fixture
def session(actions, scene):
    image = actions.prepare_image(scene.image, "scene.png")
    return actions.explain(image, ["car", "pig", "dog"], "demo", "clip_surgery")


def test_explain_is_the_library_at_once(actions, session, scene, explainer):
    expected = explainer([scene.image], ["car", "pig", "dog"])
    torch.testing.assert_close(session.explanation.patch_scores[0], expected.patch_scores[0])
    assert session.explanation.images == ("scene.png",)
    assert (session.model, session.image.size) == ("demo", (320, 320))


def test_a_large_picture_is_kept_small_and_answered_in_its_own_pixels(model_choices):
    actions = Actions(models=model_choices, limits=Limits(side=1500))
    image = actions.prepare_image(Image.new("RGB", (3000, 1000), (9, 90, 200)))
    assert image.size == (500, 1500)
    session = actions.explain(image, "dog", "demo", "clip_surgery")
    assert session.image.size == (341, 1024)
    assert session.kept_explanation.framings[0].original == (341, 1024)
    assert record(session.explanation)["size"] == {"height": 500, "width": 1500}
    assert actions.explain(image, "dog", "demo", "gem", keep_side=None).image is image


def test_words(actions):
    assert actions.read_texts(["dog, boat", " cow ", "dog", ""]) == ("dog", "boat", "cow")
    assert actions.read_texts("dog,cow") == ("dog", "cow")


@pytest.mark.parametrize(
    ("words", "reason"),
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
def test_words_that_cannot_be_used(actions, words, reason):
    with pytest.raises(InputError, match=reason):
        actions.read_texts(words)


def test_pictures_that_cannot_be_used(model_choices):
    actions = Actions(models=model_choices, limits=Limits(megapixels=1))
    with pytest.raises(InputError, match="Choose an image first"):
        actions.prepare_image(None)
    with pytest.raises(InputError, match=r"cat\.png: not an image"):
        actions.prepare_image(b"text", "cat.png")
    with pytest.raises(InputError, match=r"cat\.png: 1001 x 1000 px is over the limit"):
        actions.prepare_image(Image.new("L", (1001, 1000)), "cat.png")


def test_models_and_methods_are_those_offered(actions, scene):
    image = actions.prepare_image(scene.image)
    for model, method, reason in (
        ("dmo", "gem", "Unknown model 'dmo'. Did you mean 'demo'"),
        (["demo"], "gem", "Unknown model"),
        ("demo", "gme", "Unknown method 'gme'. Did you mean 'gem'"),
        ("demo", None, "Unknown method"),
    ):
        with pytest.raises(UnknownNameError, match=reason):
            actions.explain(image, "dog", model, method)


def test_every_offered_method_explains(actions, scene):
    image = actions.prepare_image(scene.image)
    for method in actions.models.first.methods:
        found = record(actions.explain(image, ["dog", "pig"], "demo", method).explanation)
        assert [0 <= text["presence"] <= 1 for text in found["texts"]] == [True, True]


def test_methods_that_a_tower_cannot_serve_are_left_out_with_the_reason(explainer):
    siglip = wrap_backbone(tiny_transformers("siglip"))
    choice = ModelChoice.of(replace(explainer, backbone=siglip))
    assert "clip_surgery" in choice.methods
    assert "rollout" not in choice.methods
    assert "class token" in choice.left_out["rollout"]
    with pytest.raises(InputError, match=r"rollout does not work with .*class token"):
        choice.with_method("rollout")


def test_offers_need_models_of_different_names_with_a_vocabulary(explainer):
    with pytest.raises(InputError, match="vocabulary='common'"):
        ModelChoices.of([replace(explainer, vocabulary=None)])
    for explainers in ([], [explainer, explainer]):
        with pytest.raises(InputError, match="models of different names"):
            ModelChoices.of(explainers)


def test_maps_are_drawn_from_what_is_kept(session):
    for contrast in ("text", "image", "presence"):
        whole = heatmaps(session.explanation, contrast=contrast)[0]
        torch.testing.assert_close(maps(session, contrast, side=1000), whole)
    assert maps(session, "text", side=64).shape == (3, 64, 64)
    likely = presence(session.explanation)[0]
    torch.testing.assert_close(maps(session, "presence", side=320).amax(dim=(1, 2)), likely)


def test_points_tags_and_all_together(session):
    found = points_and_boxes(session.explanation, 0.5)
    assert len(found["car"][0].positives) > 0
    assert (len(found["dog"][0]), found["dog"][1]) == (0, [])
    tags = tags_with_presence(session.explanation, top=2)
    assert {tag.text for tag, _ in tags} == {"car", "pig"}
    together = full_record(session)
    assert list(together) == ["explanation", "objects", "tags"]
    assert len(together["objects"]) == len(together["tags"]) == 3


def test_figure_follows_opacity(session):
    clear, strong = drawing(session, opacity=0.0), drawing(session, opacity=1.0)
    assert clear.size == strong.size
    assert not np.array_equal(np.asarray(clear), np.asarray(strong))


def test_sentence_and_attention(actions, scene):
    image = actions.prepare_image(scene.image)
    found = actions.sentence(image, " a pig ", "demo", "clip_surgery")
    assert found.sentence == "a pig"
    own, consistent = actions.attention(image, (319.0, 0.0), "demo")
    assert own.patch == consistent.patch == (0, 11)
    for sentence, reason in (("", "Type a sentence"), (None, "Type"), ("a" * 301, "at most 300")):
        with pytest.raises(InputError, match=reason):
            actions.sentence(image, sentence, "demo", "clip_surgery")


def test_masks(actions, session, model_choices):
    found = actions.masks(session)
    assert [mask.text for mask in found] == ["car", "pig", "dog"]
    assert found[0].mask[:, :160].all()
    with pytest.raises(InputError, match="no segmenter; start it with --segmenter"):
        Actions(models=model_choices).masks(session)


def test_a_real_segmenter_fits(model_choices, session):
    from clip_surgery.segmenters.sam import SamSegmenter
    from tests.segmenters.test_sam import tiny_sam

    actions = Actions(models=model_choices, segmenter=SamSegmenter.wrap(tiny_sam()))
    assert [mask.mask.shape for mask in actions.masks(session)] == [(320, 320)] * 3


def test_what_is_no_longer_kept_is_told(session):
    assert require_session(session) is session
    for gone in (None, "forged", {"path": "x"}):
        with pytest.raises(InputError, match="Press Explain first"):
            require_session(gone)


def test_one_model_runs_at_a_time(model_choices, session):
    class Watching(LeftHalf):
        inside = most = 0

        def __call__(self, image, prompts):
            self.inside += 1
            self.most = max(self.most, self.inside)
            threading.Event().wait(0.02)
            self.inside -= 1
            return super().__call__(image, prompts)

    segmenter = Watching(seconds=0)
    actions = Actions(models=model_choices, segmenter=segmenter)
    threads = [threading.Thread(target=actions.masks, args=(session,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segmenter.most == 1


def test_limits_are_checked():
    with pytest.raises(InputError, match="minutes of at least 1, but got 0"):
        Limits(minutes=0)
