"""Every kind of tower: the walk is the library's own forward, at any size, and changes nothing."""

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
from tests.zoo import TOWERS, image_features, text_features

EXACT = {"rtol": 1e-5, "atol": 5e-6}


@pytest.fixture(scope="module", params=TOWERS)
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
def test_walk_is_the_librarys_image_feature(model, backbone):
    pixels = native_pixels(backbone)
    wanted = image_features(model, pixels)
    assert wanted.std() > 0.1
    torch.testing.assert_close(walk(backbone.tower, pixels).image, wanted, **EXACT)
    torch.testing.assert_close(encode_pixels(backbone.tower, pixels), wanted, **EXACT)


@torch.no_grad()
def test_two_paths_leave_the_image_feature(model, backbone):
    pixels = native_pixels(backbone)
    found = walk_two_paths(backbone.tower, pixels).image
    torch.testing.assert_close(found, image_features(model, pixels), **EXACT)


@torch.no_grad()
def test_text_tower_is_the_librarys_text_feature(model, backbone):
    ids = ids_for(backbone)
    wanted = text_features(model, ids)
    found = encode_ids(backbone.text_tower, ids)
    torch.testing.assert_close(found, wanted, **EXACT)
    packed = encode_prompts(backbone.text_tower, ids[:, None], chunk_tokens=40)[:, 0]
    torch.testing.assert_close(packed, wanted, **EXACT)


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
def test_where_all_tokens_are_alike_a_patch_is_the_picture(backbone):
    """So cosines of patches with texts are on the scale of the image feature's."""
    tower = backbone.tower
    tokens = torch.randn(2, 1, tower.width).expand(-1, 6, -1)
    torch.testing.assert_close(tower.project(tokens)[:, 3], tower.pool(tokens), **EXACT)


def test_model_is_left_as_it_was(model, backbone):
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
    of_pixels, of_weight = torch.autograd.grad(score, [pixels, weight])
    assert of_pixels.abs().sum() > 0
    assert of_weight.abs().sum() > 0


@pytest.mark.parametrize("size", [(33, 32), (0, 32)])
def test_bad_pixels(backbone, size):
    with pytest.raises(InputError, match="whole patches"):
        backbone.tower.embed(torch.rand(1, 3, *size))


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_half_precision(name):
    model = TOWERS[name]()
    backbone = wrap_backbone(model)
    pixels, ids = native_pixels(backbone), ids_for(backbone)
    image, text = image_features(model, pixels), text_features(model, ids)
    half = wrap_backbone(model.to(torch.bfloat16))
    found = walk_two_paths(half.tower, pixels.bfloat16()).image
    assert found.dtype == torch.bfloat16
    assert F.cosine_similarity(found.float(), image).min() > 0.998
    texts = encode_ids(half.text_tower, ids).float()
    assert F.cosine_similarity(texts, text).min() > 0.998


@pytest.mark.parametrize("name", TOWERS)
@torch.no_grad()
def test_training_mode_changes_no_image_feature_and_no_statistics(name):
    model = TOWERS[name]()
    backbone = wrap_backbone(model)
    pixels = native_pixels(backbone)
    wanted = walk(backbone.tower, pixels).image
    model.train()
    before = state_of(model)
    torch.testing.assert_close(walk(backbone.tower, pixels).image, wanted)
    assert_same_state(before, state_of(model))


@pytest.mark.parametrize("name", [name for name in TOWERS if "coca" in name or "alt" in name])
def test_text_towers_of_their_own_library(name):
    model = TOWERS[name]()
    text = wrap_backbone(model).text_tower
    assert (text.blocks, text.causal) == ((), False)
    for unread in (text.embed, text.project):
        with pytest.raises(UnsupportedModelError, match="its tokens cannot"):
            unread(torch.zeros(1, 2))
    model.train()
    with pytest.raises(InputError, match=r"model\.eval\(\)"):
        text.encode(token_ids()[:, :16])
