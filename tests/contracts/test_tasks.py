"""Contracts of the tasks that run a tower themselves, on every kind of tower."""

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.tasks.inspection import attention, redundancy
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.words import words
from clip_surgery.windows import explain_windows
from tests.towers import assert_same_state, state_of
from tests.zoo import TOWER_PARAMS, TOWERS


@pytest.fixture(scope="module", params=TOWER_PARAMS)
def explainer(request):
    model = TOWERS[request.param](seed=0)
    return cs.wrap(model, templates="photo", cache=False, vocabulary=["cup", "tree"], batch_size=2)


@pytest.fixture
def image(explainer):
    side = explainer.backbone.image_size
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (side, side + side // 2, 3), dtype=np.uint8)


@pytest.mark.parametrize("evidence", ["contribution", "similarity", "gradient"])
def test_words(explainer, image, evidence):
    before = state_of(explainer.backbone.model)
    opaque = not explainer.backbone.text_tower.blocks  # run by its own library
    if opaque and evidence != "contribution":
        with pytest.raises(UnsupportedModelError, match="text tower"):
            words(explainer, image, "a red bus", evidence=evidence)
        return
    explanation = words(explainer, image, "a red bus", evidence=evidence)
    kinds = zip(explanation.words, explanation.kinds, strict=True)
    assert [word for word, kind in kinds if kind == "word"] == ["a", "red", "bus"]
    assert explanation.scores.isfinite().all()
    assert cs.heatmaps(explanation.explanation)[0].shape[1:] == image.shape[:2]
    assert_same_state(before, state_of(explainer.backbone.model))


def test_presence(explainer, image):
    probabilities = presence(explainer(image, ["dog", "bus"]))
    assert probabilities.shape == (1, 2)
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def test_inspection(explainer, image):
    for attention_map in attention(explainer, image, (1, 1)):
        assert attention_map.weights.isfinite().all()
        assert 0 < float(attention_map.weights.sum()) < 1 + 1e-4
    [shared] = redundancy(explainer, [image], ["dog", "bus"])
    assert ((shared.shares >= 0) & (shared.shares <= 1)).all()


def test_windows(explainer, image):
    explanation = explain_windows(explainer, image, ["dog", "bus"])
    assert explanation.patch_scores[0].isfinite().all()
    [classes] = cs.segment(explanation)
    assert tuple(classes.shape) == image.shape[:2]
    [[points]] = cs.points(explanation, "dog", rule="peaks")
    assert torch.from_numpy(points.xy).isfinite().all()
