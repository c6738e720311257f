"""What the tasks that read a tower themselves must hold, on every backbone."""

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
from tests.zoo import TOWERS


@pytest.fixture(scope="module", params=TOWERS)
def explainer(request):
    model = TOWERS[request.param](seed=0)
    return cs.wrap(model, templates="photo", cache=False, vocabulary=["cup", "tree"], batch_size=2)


@pytest.fixture
def image(explainer):
    side = explainer.backbone.image_size
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (side, side + side // 2, 3), dtype=np.uint8)


@pytest.mark.parametrize("evidence", ["similarity", "gradient"])
def test_words(explainer, image, evidence):
    before = state_of(explainer.backbone.model)
    if not explainer.backbone.text_tower.blocks:  # run by its own library
        with pytest.raises(UnsupportedModelError, match="text tower"):
            words(explainer, image, "a red bus", evidence=evidence)
        return
    found = words(explainer, image, "a red bus", evidence=evidence)
    assert [w for w, kind in zip(found.words, found.kinds, strict=True) if kind == "word"] == [
        "a", "red", "bus",
    ]  # fmt: skip
    assert found.scores.isfinite().all()
    assert cs.heatmaps(found.explanation)[0].shape[1:] == image.shape[:2]
    assert_same_state(before, state_of(explainer.backbone.model))


def test_presence(explainer, image):
    likely = presence(explainer(image, ["dog", "bus"]))
    assert likely.shape == (1, 2)
    assert ((likely >= 0) & (likely <= 1)).all()


def test_inspection(explainer, image):
    own, consistent = attention(explainer, image, (1, 1))
    for found in (own, consistent):
        assert found.weights.isfinite().all()
        assert 0 < float(found.weights.sum()) < 1 + 1e-4
    [shared] = redundancy(explainer, [image], ["dog", "bus"])
    assert ((shared.shares >= 0) & (shared.shares <= 1)).all()


def test_windows(explainer, image):
    whole = explain_windows(explainer, image, ["dog", "bus"])
    assert whole.patch_scores[0].isfinite().all()
    [classes] = cs.segment(whole)
    assert tuple(classes.shape) == image.shape[:2]
    [[clicks]] = cs.points(whole, "dog", rule="peaks")
    assert torch.from_numpy(clicks.xy).isfinite().all()
