"""For every kind of tower, the walk equals the forward pass of the library."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.surgery.walk import walk, walk_two_paths
from clip_surgery.text.bank import encode_texts
from clip_surgery.text.prefixes import encode_prompts
from tests.backbones.plain_walk import encode_ids, encode_pixels
from tests.towers import assert_same_state, state_of, token_ids
from tests.zoo import TOWER_PARAMS, TOWERS, image_features, text_features

EXACT = {"rtol": 1e-5, "atol": 5e-6}


@pytest.fixture(scope="module", params=TOWER_PARAMS)
def model(request):
    return TOWERS[request.param]()


@pytest.fixture(scope="module")
def backbone(model):
    return wrap_backbone(model)


def native_pixels(backbone, batch=2):
    return torch.randn(batch, 3, backbone.image_size, backbone.image_size)


def ids_for(backbone):
    """Texts of 3, 6 and T tokens."""
    ids = token_ids()[:, : backbone.text_tower.context_length]
    ids[2, -1] = ids[1, 5]
    return ids


@torch.no_grad()
def test_walk_equals_the_image_feature_of_the_library(model, backbone):
    pixels = native_pixels(backbone)
    expected = image_features(model, pixels)
    assert expected.std() > 0.1
    torch.testing.assert_close(walk(backbone.tower, pixels).image, expected, **EXACT)
    torch.testing.assert_close(encode_pixels(backbone.tower, pixels), expected, **EXACT)


@torch.no_grad()
def test_two_paths_do_not_change_the_image_feature(model, backbone):
    pixels = native_pixels(backbone)
    actual = walk_two_paths(backbone.tower, pixels).image
    torch.testing.assert_close(actual, image_features(model, pixels), **EXACT)


@torch.no_grad()
def test_text_tower_equals_the_text_feature_of_the_library(model, backbone):
    ids = ids_for(backbone)
    expected = text_features(model, ids)
    actual = encode_ids(backbone.text_tower, ids)
    torch.testing.assert_close(actual, expected, **EXACT)
    packed = encode_prompts(backbone.text_tower, ids[:, None], chunk_tokens=40)[:, 0]
    torch.testing.assert_close(packed, expected, **EXACT)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 5), (7, 3)])
@torch.no_grad()
def test_any_grid_before_and_after_another(backbone, rows, columns):
    tower, native = backbone.tower, native_pixels(backbone)
    before = walk(tower, native)
    side = tower.patch_size
    features = walk(tower, torch.randn(1, 3, rows * side, columns * side))
    assert (features.grid.rows, features.grid.columns) == (rows, columns)
    assert features.patches.shape[:2] == (1, rows * columns)
    assert features.patches.isfinite().all()
    assert features.patches.shape[-1] == features.image.shape[-1]
    assert torch.equal(walk(tower, native).image, before.image)


@torch.no_grad()
def test_a_patch_equals_the_image_feature_if_all_tokens_are_equal(backbone):
    """Therefore cosines of patches and texts have the scale of cosines of images and texts."""
    tower = backbone.tower
    tokens = torch.randn(2, 1, tower.width).expand(-1, 6, -1)
    torch.testing.assert_close(tower.project(tokens)[:, 3], tower.pool(tokens), **EXACT)


def test_the_model_is_not_changed(model, backbone):
    before = state_of(model)
    with torch.no_grad():
        walk_two_paths(backbone.tower, native_pixels(backbone))
        encode_texts(backbone, ["a cat"], templates=("{}",), cache=None)
    backbone.fingerprint()
    assert_same_state(before, state_of(model))


def test_gradients_reach_pixels_and_the_first_weights(model, backbone):
    pixels = native_pixels(backbone, batch=1).requires_grad_()
    weight = next(p for name, p in model.named_parameters() if "conv1" in name or "patch" in name)
    score = walk(backbone.tower, pixels).image.sum()
    pixel_gradient, weight_gradient = torch.autograd.grad(score, [pixels, weight])
    assert pixel_gradient.abs().sum() > 0
    assert weight_gradient.abs().sum() > 0


@pytest.mark.parametrize("size", [(33, 32), (0, 32)])
def test_bad_pixels(backbone, size):
    with pytest.raises(InputError, match="whole patches"):
        backbone.tower.embed(torch.rand(1, 3, *size))


@pytest.mark.parametrize("name", TOWER_PARAMS)
@torch.no_grad()
def test_half_precision(name):
    model = TOWERS[name]()
    backbone = wrap_backbone(model)
    pixels, ids = native_pixels(backbone), ids_for(backbone)
    image, text = image_features(model, pixels), text_features(model, ids)
    half = wrap_backbone(model.to(torch.bfloat16))
    actual = walk_two_paths(half.tower, pixels.bfloat16()).image
    assert actual.dtype == torch.bfloat16
    assert F.cosine_similarity(actual.float(), image).min() > 0.998
    texts = encode_ids(half.text_tower, ids).float()
    assert F.cosine_similarity(texts, text).min() > 0.998


@pytest.mark.parametrize("name", TOWER_PARAMS)
@torch.no_grad()
def test_training_mode_changes_no_image_feature_and_no_statistics(name):
    model = TOWERS[name]()
    backbone = wrap_backbone(model)
    pixels = native_pixels(backbone)
    expected = walk(backbone.tower, pixels).image
    model.train()
    before = state_of(model)
    torch.testing.assert_close(walk(backbone.tower, pixels).image, expected)
    assert_same_state(before, state_of(model))


@pytest.mark.parametrize("name", [name for name in TOWERS if "coca" in name or "alt" in name])
def test_text_towers_that_their_library_runs(name):
    model = TOWERS[name]()
    text = wrap_backbone(model).text_tower
    assert (text.blocks, text.causal) == ((), False)
    for unavailable in (text.embed, text.project):
        with pytest.raises(UnsupportedModelError, match="but not of their tokens"):
            unavailable(torch.zeros(1, 2))
    model.train()
    with pytest.raises(InputError, match=r"model\.eval\(\)"):
        text.encode(token_ids()[:, :16])
