from dataclasses import replace

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.inputs.images import read_image
from clip_surgery.tasks.inspection import (
    attention,
    explained_share,
    patch_attention,
    redundancy,
)
from clip_surgery.tasks.presence import presence
from tests.surgery.plain_trace import trace


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture
def explainer(backbone):
    return cs.wrap(backbone.model, templates="photo", cache=False)


@torch.no_grad()
def test_own_attention_is_the_models(explainer, image):
    pixels = explainer.pixels(read_image(image))
    traced = trace(explainer.backbone.tower, pixels, depth=4)
    for block in range(4):
        found = patch_attention(explainer.backbone.tower, pixels, block=block)
        expected = traced.attentions[block].mean(1)[:, 1:, 1:]
        torch.testing.assert_close(found["q-k"], expected)
        again = patch_attention(explainer.backbone.tower, pixels, block=block - 4)
        torch.testing.assert_close(again["v-v"], found["v-v"])


@torch.no_grad()
def test_consistent_attention_naive(explainer, image):
    pixels = explainer.pixels(read_image(image))
    value = trace(explainer.backbone.tower, pixels).heads[0].value
    scale = explainer.backbone.tower.blocks[-1].attention.scale
    expected = torch.softmax(value @ value.transpose(-1, -2) * scale, -1).mean(1)[:, 1:, 1:]
    found = patch_attention(explainer.backbone.tower, pixels, kinds=["v-v", "k-k", "q-q"])
    torch.testing.assert_close(found["v-v"], expected)
    assert list(found) == ["v-v", "k-k", "q-q"]


def test_the_patch_is_the_one_at_the_point(explainer, image):
    for point, patch in (((0, 0), (0, 0)), ((55, 39), (3, 5)), ((30.5, 10), (1, 3))):
        own, consistent = attention(explainer, image, point)
        assert own.patch == consistent.patch == patch
        assert own.weights.shape == (4, 6)
        assert 0 < float(own.weights.sum()) < 1 + 1e-5
        heat = own.heatmap()
        assert heat.shape == (40, 56)
        assert float(heat.max()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"point": (56, 0)}, r"56 x 40 px \(x, y\), but got \(56, 0\)"),
        ({"point": (0, -1)}, "but got"),
        ({"point": (float("nan"), 1)}, "but got"),
        ({"point": (0, 0), "kinds": []}, "at least one kind"),
        ({"point": (0, 0), "kinds": ["qk"]}, "Unknown kind of attention"),
        ({"point": (0, 0), "block": 4}, "from -4 to 3, but got 4"),
    ],
)
def test_bad_calls(explainer, image, call, reason):
    with pytest.raises(InputError, match=reason):
        attention(explainer, image, **call)


def test_redundancy(explainer, image):
    first, second = redundancy(explainer, [image, image[:32]], ["dog", "cat"])
    assert first.explanation.texts == ("dog", "cat", "")
    assert first.explanation.patch_scores[0].shape == (3, 4, 6)
    assert torch.equal(first.explanation.patch_scores[0], first.explanation.similarity[0])
    maps = first.explanation.patch_scores[0].flatten(1)
    for text in range(2):
        correlation = float(torch.corrcoef(maps[[text, 2]])[0, 1])
        assert float(first.shares[text]) == pytest.approx(correlation**2, abs=1e-4)
    assert second.shares.shape == (2,)
    alone = redundancy(explainer.with_method("bi_modal"), [image], ["dog", "cat"])[0]
    torch.testing.assert_close(alone.shares, first.shares)


def test_explained_share():
    shared = torch.tensor([0.0, 1.0, 2.0, 5.0])
    maps = torch.stack([3 * shared - 7, -shared, torch.full((4,), 0.3), torch.zeros(4)])
    torch.testing.assert_close(explained_share(maps, shared), torch.tensor([1.0, 1.0, 0.0, 0.0]))
    assert explained_share(maps, torch.ones(4)).tolist() == [0.0] * 4


def test_redundancy_works_with_a_vocabulary(backbone, image):
    explainer = cs.wrap(backbone.model, templates="photo", cache=False, vocabulary=["cup", "tree"])
    [found] = redundancy(explainer, [image], ["dog"])
    with pytest.raises(InputError):
        presence(found.explanation)


def test_redundancy_accepts_a_single_image(explainer, image, tmp_path):
    [from_image] = redundancy(explainer, image, ["dog", "bus"])
    [from_list] = redundancy(explainer, [image], ["dog", "bus"])
    assert torch.equal(from_image.shares, from_list.shares)
    with pytest.raises(InputError, match=r"street\.jpg"):
        redundancy(explainer, str(tmp_path / "street.jpg"), ["dog", "bus"])


@torch.no_grad()
def test_attention_of_the_first_block_runs_no_other_block(explainer, image):
    tower = explainer.backbone.tower
    pixels = explainer.pixels(read_image(image))

    def must_not_run(tokens, parts="qkv"):
        raise AssertionError("a later block was run")

    first, *later = tower.blocks
    later = [
        replace(block, attention=replace(block.attention, project_in=must_not_run))
        for block in later
    ]
    found = patch_attention(replace(tower, blocks=(first, *later)), pixels, block=0)
    torch.testing.assert_close(found["q-k"], patch_attention(tower, pixels, block=0)["q-k"])
