import numpy as np
import pytest
import torch
from torch.nn import functional as F

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.inputs.images import read_image
from clip_surgery.surgery.text_walk import walk_text
from clip_surgery.surgery.walk import walk
from clip_surgery.tasks.words import words

SENTENCE = "a zorbleflux on a bench."


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture
def explainer(backbone):
    return cs.wrap(backbone.model, templates="photo", cache=False)


def test_words_in_order(explainer, image):
    found = words(explainer, image, SENTENCE)
    assert found.words == ("[start]", "a", "zorbleflux", "on", "a", "bench", ".", "[end]")
    assert found.kinds == ("start", *["word"] * 6, "end")
    assert found.explanation.patch_scores[0].shape == (8, 4, 6)
    assert {word.text for word in found.ranking()} == set(found.words[1:-1])
    assert len(found.ranking(ends=True)) == 8


@torch.no_grad()
def test_scores_naive(explainer, image):
    found = words(explainer, image, SENTENCE)
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


@pytest.mark.parametrize("method", ["similarity", "clip_surgery", "bi_modal"])
def test_every_method_gives_maps(explainer, image, method):
    found = words(explainer.with_method(method), image, SENTENCE)
    [maps] = cs.heatmaps(found.explanation)
    assert maps.shape == (8, 40, 56)


def test_gradient_evidence(explainer, image):
    plain = words(explainer, image, SENTENCE)
    found = words(explainer, image, SENTENCE, evidence="gradient", depth=3)
    assert found.evidence == "gradient"
    assert (found.scores >= 0).all()
    assert found.scores.sum() > 0
    assert torch.equal(found.explanation.patch_scores[0], plain.explanation.patch_scores[0])


def test_one_word(explainer, image):
    found = words(explainer, image, "bench")
    assert found.words == ("[start]", "bench", "[end]")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"sentence": "  "}, "sentence with words"),
        ({"sentence": "dog " * 90}, "at most 77 tokens"),
        ({"sentence": "a dog", "evidence": "gradients"}, "Did you mean 'gradient'"),
        ({"sentence": "a dog", "depth": 0}, "depth"),
    ],
)
def test_bad_calls(explainer, image, call, reason):
    with pytest.raises(InputError, match=reason):
        words(explainer, image, **call)
