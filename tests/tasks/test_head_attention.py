import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.figures.attention import attention_figure
from clip_surgery.tasks.head_attention import head_attention
from clip_surgery.tasks.inspection import attention
from tests.zoo import TOWERS

IMAGE = np.random.default_rng(0).integers(0, 256, (40, 56, 3), dtype=np.uint8)


@pytest.fixture
def explainer(backbone):
    return cs.wrap(backbone.model, templates="photo", cache=False)


def test_the_mean_over_heads_is_the_attention_of_a_point(explainer):
    [expected] = attention(explainer, IMAGE, (30, 20), kinds=("q-k",))
    found = head_attention(explainer, IMAGE, (30, 20))
    assert found.source == "patch"
    assert found.patch == expected.patch
    torch.testing.assert_close(found.weights[-1].mean(0), expected.weights, atol=1e-6, rtol=0)


def test_the_class_token_attends_by_default(explainer):
    found = head_attention(explainer, IMAGE)
    assert found.source == "class token"
    total = found.weights.flatten(2).sum(-1) + found.prefix_weights
    torch.testing.assert_close(total, torch.ones_like(total), atol=1e-5, rtol=0)
    drawn = attention_figure(IMAGE, found, tile=24)
    assert drawn.height > 24 * found.weights.shape[0]


def test_towers_without_class_token_give_the_mean_over_patches():
    explainer = cs.wrap(TOWERS["timm_siglip"](seed=0), cache=False)
    found = head_attention(explainer, IMAGE)
    assert found.source == "mean over patches"
    one = [
        head_attention(explainer, IMAGE, ((x + 0.5) * 56 / columns, (y + 0.5) * 40 / rows)).weights
        for rows, columns in [found.weights.shape[-2:]]
        for y in range(rows)
        for x in range(columns)
    ]
    torch.testing.assert_close(torch.stack(one).mean(0), found.weights, atol=1e-5, rtol=0)


def test_one_patch_and_flat_images(explainer):
    found = head_attention(explainer, np.full((8, 8, 3), 127, np.uint8), (7.9, 7.9))
    assert found.weights.isfinite().all()
    assert found.lengths.isfinite().all()
    assert attention_figure(np.full((8, 8, 3), 127, np.uint8), found, tile=20).width


def test_points_outside(explainer):
    with pytest.raises(InputError, match="a point within 56 x 40 px"):
        head_attention(explainer, IMAGE, (56, 0))
