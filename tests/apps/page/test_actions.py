"""What the buttons do, without Gradio."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.apps.page.actions import Actions, still_there
from clip_surgery.apps.page.answers import clicks, drawing, everything, likely_tags, maps, record
from clip_surgery.apps.page.limits import Limits
from clip_surgery.apps.page.model_choices import ModelChoice, ModelChoices
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.presence import presence
from tests.apps.page.server import LeftHalf
from tests.zoo import tiny_transformers


@pytest.fixture
def visit(actions, scene):
    picture = actions.read_picture(scene.image, "scene.png")
    return actions.explain(picture, ["car", "pig", "dog"], "demo", "clip_surgery")


def test_explain_is_the_library_at_once(actions, visit, scene, explainer):
    expected = explainer([scene.image], ["car", "pig", "dog"])
    torch.testing.assert_close(visit.explanation.patch_scores[0], expected.patch_scores[0])
    assert visit.explanation.images == ("scene.png",)
    assert (visit.model, visit.picture.size) == ("demo", (320, 320))


def test_a_large_picture_is_kept_small_and_answered_in_its_own_pixels(offers):
    actions = Actions(offers=offers, limits=Limits(side=1500))
    picture = actions.read_picture(Image.new("RGB", (3000, 1000), (9, 90, 200)))
    assert picture.size == (500, 1500)
    visit = actions.explain(picture, "dog", "demo", "clip_surgery")
    assert visit.picture.size == (341, 1024)
    assert visit.shown.framings[0].original == (341, 1024)
    assert record(visit.explanation)["size"] == {"height": 500, "width": 1500}
    assert actions.explain(picture, "dog", "demo", "gem", keep_side=None).picture is picture


def test_words(actions):
    assert actions.read_words(["dog, boat", " cow ", "dog", ""]) == ("dog", "boat", "cow")
    assert actions.read_words("dog,cow") == ("dog", "cow")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "at least one word"),
        (None, "at least one word"),
        ([" , "], "at least one word"),
        ([str(number) for number in range(25)], "at most 24 words at once, but got 25"),
        (["a" * 301], "at most 300 letters"),
        ([1], "words as text, but got int"),
        ({"dog": 1}, "a list of words, but got dict"),
        (5, "a list of words, but got int"),
    ],
)
def test_words_that_cannot_be_used(actions, words, reason):
    with pytest.raises(InputError, match=reason):
        actions.read_words(words)


def test_pictures_that_cannot_be_used(offers):
    actions = Actions(offers=offers, limits=Limits(megapixels=1))
    with pytest.raises(InputError, match="Choose a picture first"):
        actions.read_picture(None)
    with pytest.raises(InputError, match=r"cat\.png: not an image"):
        actions.read_picture(b"text", "cat.png")
    with pytest.raises(InputError, match=r"cat\.png: 1001 x 1000 px is over the limit"):
        actions.read_picture(Image.new("L", (1001, 1000)), "cat.png")


def test_models_and_methods_are_those_offered(actions, scene):
    picture = actions.read_picture(scene.image)
    for model, method, reason in (
        ("dmo", "gem", "Unknown model 'dmo'. Did you mean 'demo'"),
        (["demo"], "gem", "Unknown model"),
        ("demo", "gme", "Unknown method 'gme'. Did you mean 'gem'"),
        ("demo", None, "Unknown method"),
    ):
        with pytest.raises(UnknownNameError, match=reason):
            actions.explain(picture, "dog", model, method)


def test_every_offered_method_explains(actions, scene):
    picture = actions.read_picture(scene.image)
    for method in actions.offers.first.methods:
        found = record(actions.explain(picture, ["dog", "pig"], "demo", method).explanation)
        assert [0 <= text["presence"] <= 1 for text in found["texts"]] == [True, True]


def test_methods_that_a_tower_cannot_serve_are_left_out_with_the_reason(explainer):
    siglip = wrap_backbone(tiny_transformers("siglip"))
    offer = ModelChoice.of(replace(explainer, backbone=siglip))
    assert "clip_surgery" in offer.methods
    assert "rollout" not in offer.methods
    assert "class token" in offer.left_out["rollout"]
    with pytest.raises(InputError, match=r"rollout does not work with .*class token"):
        offer.with_method("rollout")


def test_offers_need_models_of_different_names_with_a_vocabulary(explainer):
    with pytest.raises(InputError, match="vocabulary='common'"):
        ModelChoices.of([replace(explainer, vocabulary=None)])
    for explainers in ([], [explainer, explainer]):
        with pytest.raises(InputError, match="models of different names"):
            ModelChoices.of(explainers)


def test_maps_are_drawn_from_what_is_kept(visit):
    for contrast in ("text", "image", "presence"):
        whole = heatmaps(visit.explanation, contrast=contrast)[0]
        torch.testing.assert_close(maps(visit, contrast, side=1000), whole)
    assert maps(visit, "text", side=64).shape == (3, 64, 64)
    likely = presence(visit.explanation)[0]
    torch.testing.assert_close(maps(visit, "presence", side=320).amax(dim=(1, 2)), likely)


def test_points_tags_and_all_together(visit):
    found = clicks(visit.explanation, 0.5)
    assert len(found["car"][0].positives) > 0
    assert (len(found["dog"][0]), found["dog"][1]) == (0, [])
    tags = likely_tags(visit.explanation, top=2)
    assert {tag.text for tag, _ in tags} == {"car", "pig"}
    together = everything(visit)
    assert list(together) == ["explanation", "objects", "tags"]
    assert len(together["objects"]) == len(together["tags"]) == 3


def test_figure_follows_opacity(visit):
    clear, strong = drawing(visit, opacity=0.0), drawing(visit, opacity=1.0)
    assert clear.size == strong.size
    assert not np.array_equal(np.asarray(clear), np.asarray(strong))


def test_sentence_and_attention(actions, scene):
    picture = actions.read_picture(scene.image)
    found = actions.sentence(picture, " a pig ", "demo", "clip_surgery")
    assert found.sentence == "a pig"
    own, consistent = actions.attention(picture, (319.0, 0.0), "demo")
    assert own.patch == consistent.patch == (0, 11)
    for sentence, reason in (("", "Type a sentence"), (None, "Type"), ("a" * 301, "at most 300")):
        with pytest.raises(InputError, match=reason):
            actions.sentence(picture, sentence, "demo", "clip_surgery")


def test_masks(actions, visit, offers):
    found = actions.masks(visit)
    assert [mask.text for mask in found] == ["car", "pig", "dog"]
    assert found[0].mask[:, :160].all()
    with pytest.raises(InputError, match="no segmenter; start it with --segmenter"):
        Actions(offers=offers).masks(visit)


def test_a_real_segmenter_fits(offers, visit):
    from clip_surgery.segmenters.sam import SamSegmenter
    from tests.segmenters.test_sam import tiny_sam

    actions = Actions(offers=offers, segmenter=SamSegmenter.wrap(tiny_sam()))
    assert [mask.mask.shape for mask in actions.masks(visit)] == [(320, 320)] * 3


def test_what_is_no_longer_kept_is_told(visit):
    assert still_there(visit) is visit
    for gone in (None, "forged", {"path": "x"}):
        with pytest.raises(InputError, match="Press Explain first"):
            still_there(gone)


def test_one_model_runs_at_a_time(offers, visit):
    class Watching(LeftHalf):
        inside = most = 0

        def __call__(self, picture, prompts):
            self.inside += 1
            self.most = max(self.most, self.inside)
            threading.Event().wait(0.02)
            self.inside -= 1
            return super().__call__(picture, prompts)

    segmenter = Watching(seconds=0)
    actions = Actions(offers=offers, segmenter=segmenter)
    threads = [threading.Thread(target=actions.masks, args=(visit,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert segmenter.most == 1


def test_limits_are_checked():
    with pytest.raises(InputError, match="minutes of at least 1, but got 0"):
        Limits(minutes=0)
