import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.inputs.images import read_image
from clip_surgery.surgery.consistent_features import consistent_features
from clip_surgery.surgery.text_walk import walk_text
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.words import words
from clip_surgery.text.sentence_words import split_words
from clip_surgery.text.word_directions import without_words

SENTENCE = "a zorbleflux on a bench."


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture
def explainer(backbone):
    return cs.wrap(backbone.model, templates="photo", cache=False)


def test_words_in_order(explainer, image):
    found = words(explainer, image, SENTENCE)
    assert found.words == ("a", "zorbleflux", "on", "a", "bench", ".")
    assert found.kinds == ("word",) * 6
    assert found.evidence == "contribution"
    assert found.explanation.patch_scores[0].shape == (6, 4, 6)
    by_tokens = words(explainer, image, SENTENCE, evidence="similarity")
    assert by_tokens.words == ("[start]", *found.words, "[end]")
    assert by_tokens.kinds == ("start", *found.kinds, "end")
    assert by_tokens.explanation.patch_scores[0].shape == (8, 4, 6)
    for one in (found, by_tokens):
        assert {word.text for word in one.ranking()} == set(found.words)
    assert len(by_tokens.ranking(ends=True)) == 8


@torch.no_grad()
def test_contributions_are_the_banzhaf_values_of_the_similarity(explainer, image):
    """Written out: the mean change of the cosine when a word joins each set of the other words."""
    sentence = "a red bench, here"
    found = words(explainer, image, sentence)
    tower, pieces = explainer.backbone.text_tower, split_words(sentence)
    pixels = explainer.pixels(read_image(image))
    features = consistent_features(explainer.backbone.tower, pixels)
    pictures = F.normalize(torch.cat([features.image, features.patches[0]]), dim=-1)  # (1 + P, D)

    def cosines(present):
        tokens = walk_text(tower, tower.tokenize([without_words(sentence, pieces, present)])[0])
        end = int(
            tower.end_positions(tower.tokenize([without_words(sentence, pieces, present)]))[0]
        )
        return pictures @ F.normalize(tokens[end], dim=-1)

    table = {present: cosines(present) for present in itertools.product([False, True], repeat=5)}
    for word in range(5):
        changes = [
            value - table[(*present[:word], False, *present[word + 1 :])]
            for present, value in table.items()
            if present[word]
        ]
        expected = torch.stack(changes).mean(dim=0)
        assert float(found.scores[word]) == pytest.approx(float(expected[0]), abs=1e-6)
        torch.testing.assert_close(
            found.explanation.patch_scores[0][word].flatten(), expected[1:], atol=1e-6, rtol=0
        )
    all_cosines = torch.stack(list(table.values()))[:, 0]
    variance = float(all_cosines.var(correction=0))
    for share, score in zip(found.variance_shares.tolist(), found.scores.tolist(), strict=True):
        assert share == pytest.approx(score**2 / 4 / variance, rel=1e-3)
    assert found.fit == pytest.approx(float(found.variance_shares.sum()))


def test_contributions_run_the_image_tower_once(explainer, image):
    runs = []
    tower = explainer.backbone.tower

    def embed(pixels):
        runs.append(len(pixels))
        return tower.embed(pixels)

    counting = replace(explainer.backbone, tower=replace(tower, embed=embed))
    words(replace(explainer, backbone=counting), image, SENTENCE)
    assert runs == [1]


def test_phrases_count_as_one_word(explainer, image):
    for evidence in ("contribution", "similarity", "gradient"):
        found = words(explainer, image, "a red car", evidence=evidence, phrases=["red car"])
        assert [word for word in found.words if word[0] != "["] == ["a", "red car"]
        assert found.scores.isfinite().all()


@torch.no_grad()
def test_scores_naive(explainer, image):
    found = words(explainer, image, SENTENCE, evidence="similarity")
    tower = explainer.backbone.text_tower
    ids = tower.tokenize([SENTENCE])
    features = F.normalize(walk_text(tower, ids[0]), dim=-1)
    pixels = explainer.pixels(read_image(image))
    picture = walk(explainer.backbone.tower, pixels).image[0]
    pieces = tower.tokenize(["zorbleflux"])[0].tolist().index(49407) - 1
    assert pieces > 1
    bird = features[2 : 2 + pieces].mean(0)
    assert float(found.scores[2]) == pytest.approx(
        float(F.cosine_similarity(bird, picture, dim=0)), abs=1e-5
    )
    end = int(tower.end_positions(ids)[0])
    assert float(found.scores[-1]) == pytest.approx(
        float(F.cosine_similarity(features[end], picture, dim=0)), abs=1e-5
    )


@pytest.mark.parametrize("evidence", ["contribution", "similarity"])
@pytest.mark.parametrize("method", ["similarity", "clip_surgery", "bi_modal"])
def test_every_method_gives_maps(explainer, image, method, evidence):
    found = words(explainer.with_method(method), image, SENTENCE, evidence=evidence)
    [maps] = cs.heatmaps(found.explanation)
    assert maps.shape == (len(found.words), 40, 56)


def test_contributions_do_not_depend_on_the_method(explainer, image):
    by_patches = words(explainer, image, SENTENCE)
    by_gradients = words(explainer.with_method("bi_modal"), image, SENTENCE)
    torch.testing.assert_close(by_patches.scores, by_gradients.scores, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        by_patches.variance_shares, by_gradients.variance_shares, atol=1e-4, rtol=0
    )


def test_gradient_evidence(explainer, image):
    plain = words(explainer, image, SENTENCE, evidence="similarity")
    found = words(explainer, image, SENTENCE, evidence="gradient", depth=3)
    assert found.evidence == "gradient"
    assert (found.scores >= 0).all()
    assert found.scores.sum() > 0
    assert torch.equal(found.explanation.patch_scores[0], plain.explanation.patch_scores[0])


def test_one_word(explainer, image):
    found = words(explainer, image, "bench")
    assert found.words == ("bench",)
    assert found.fit == pytest.approx(1, abs=1e-5)
    tokens = words(explainer, image, "bench", evidence="similarity")
    assert tokens.words == ("[start]", "bench", "[end]")


@pytest.mark.parametrize("sentence", ["...", "zqxv wblk", "一只狗", "\u0000 dog", "🐕"])
@pytest.mark.parametrize("side", [(8, 8), (40, 56)])
def test_flat_images_and_gibberish_have_finite_answers(explainer, sentence, side):
    found = words(explainer, np.full((*side, 3), 127, np.uint8), sentence)
    assert found.scores.isfinite().all()
    assert 0 <= found.fit <= 1 + 1e-5
    assert all(maps.isfinite().all() for maps in cs.heatmaps(found.explanation))


def test_a_word_without_effect_has_no_score_and_an_empty_map(explainer, image):
    tower = explainer.backbone.text_tower

    def constant(texts, *, truncate=False):
        return tower.tokenize(["dog"] * len(texts))

    backbone = replace(explainer.backbone, text_tower=replace(tower, tokenize=constant))
    for method in ("clip_surgery", "bi_modal"):
        same = replace(explainer, backbone=backbone).with_method(method)
        found = words(same, image, "a red car")
        assert found.scores.tolist() == [0, 0, 0]
        assert found.fit == 0
        assert not cs.heatmaps(found.explanation)[0].any()


def test_one_patch(explainer):
    side = explainer.backbone.tower.patch_size
    small = replace(explainer, framing=cs.FramingRule(size=side))
    found = words(small, np.full((side, side, 3), 127, np.uint8), "a dog")
    assert found.explanation.patch_scores[0].shape == (2, 1, 1)
    assert not cs.heatmaps(found.explanation)[0].any()


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"sentence": "  "}, "sentence with words"),
        ({"sentence": "dog " * 90}, "at most 77 tokens"),
        ({"sentence": "a dog", "evidence": "gradients"}, "Did you mean 'gradient'"),
        ({"sentence": "a dog", "depth": 0}, "depth"),
        ({"sentence": "a dog", "phrases": ["red dog"]}, "phrases that occur"),
        ({"sentence": "a dog", "phrases": "a dog"}, "list of texts"),
    ],
)
def test_bad_calls(explainer, image, call, reason):
    with pytest.raises(InputError, match=reason):
        words(explainer, image, **call)


def test_maps_of_patches_are_those_of_a_match(explainer, image):
    found = words(explainer, image, SENTENCE, maps="patches")
    expected = cs.explain_match(explainer, SENTENCE, image)
    torch.testing.assert_close(
        found.explanation.patch_scores[0], expected.word_maps(), atol=1e-5, rtol=0
    )
    total = expected.word_maps().flatten(1).sum(1) + expected.split.query_rest
    torch.testing.assert_close(found.scores, total, atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="maps=\"method\" with evidence='gradient'"):
        words(explainer, image, SENTENCE, maps="patches", evidence="gradient")
    with pytest.raises(InputError, match="kind of maps"):
        words(explainer, image, SENTENCE, maps="best")
