"""Descriptions of heads in words, and views of a model without heads."""

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.tasks.ablation import ablate_heads
from clip_surgery.tasks.describe_heads import describe_heads

RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(4)]
TEXTS = ["a dog", "a cat", "a red car", "a tree", "water"]


@pytest.fixture
def explainer(backbone):
    return cs.wrap(backbone.model, templates="photo", cache=False)


def test_every_head_of_the_last_blocks_is_described(explainer):
    found = describe_heads(explainer, iter(IMAGES), TEXTS, blocks=2, count=2)
    layers = len(explainer.backbone.tower.blocks)
    heads = explainer.backbone.tower.blocks[-1].attention.heads
    assert [(one.block, one.head) for one in found] == [
        (block, head) for block in (layers - 2, layers - 1) for head in range(heads)
    ]
    values = torch.stack([cs.decompose(explainer, image).heads[-1, 0] for image in IMAGES])
    one = found[-heads]
    assert one.variance == pytest.approx(float(values.var(0, correction=0).sum()), rel=1e-4)
    assert len(one.texts) == 2
    assert set(one.texts) <= set(TEXTS)
    assert 0 < one.explained <= 1


def test_bad_calls(explainer):
    with pytest.raises(InputError, match="at least two images, but got 1"):
        describe_heads(explainer, IMAGES[:1], TEXTS)
    with pytest.raises(InputError, match="blocks of at least 1"):
        describe_heads(explainer, IMAGES, TEXTS, blocks=0)
    with pytest.raises(InputError, match="at least one image"):
        ablate_heads(explainer, [(0, 0)], [])
    with pytest.raises(InputError, match="a block below"):
        ablate_heads(explainer, [(9, 0)], IMAGES)


def test_a_view_explains_images_and_leaves_the_model_alone(explainer):
    before = explainer(IMAGES[0], TEXTS)
    view = ablate_heads(explainer, [(-1, 0), (0, 1), (-1, 0)], IMAGES)
    changed = view(IMAGES[0], TEXTS)
    assert not torch.allclose(before.image_scores, changed.image_scores, atol=1e-4)
    assert "without heads (0, 1), (" in changed.backbone
    assert torch.equal(explainer(IMAGES[0], TEXTS).image_scores, before.image_scores)
    assert view.backbone.model is explainer.backbone.model
    assert ablate_heads(explainer, [], IMAGES) is explainer


@pytest.mark.slow
def test_the_head_that_adds_most_matters_most():
    """On scenes, the view without the best head loses more similarity than one without another."""
    explainer = cs.load("demo", cache=False, templates="photo")
    scenes = list(SceneDataset(seed=2_600_011, count=20))
    images = [scene.image for scene in scenes]
    names = [min(scene.present) for scene in scenes]
    texts = explainer.encode(sorted(set(names))).labels
    scores = torch.stack([cs.decompose(explainer, image).scores(texts).heads for image in images])
    rows = [sorted(set(names)).index(name) for name in names]
    by_head = scores[range(len(rows)), rows].mean(0)  # (L, h)
    heads = by_head.shape[1]
    best, worst = divmod(int(by_head.argmax()), heads), divmod(int(by_head.abs().argmin()), heads)

    def similarity(explainer):
        found = explainer(images, sorted(set(names))).image_scores
        return float(found[range(len(rows)), rows].mean())

    own = similarity(explainer)
    without_best = similarity(ablate_heads(explainer, [best], images))
    without_worst = similarity(ablate_heads(explainer, [worst], images))
    assert own - without_best > 0.05
    assert own - without_best > 2 * abs(own - without_worst)
