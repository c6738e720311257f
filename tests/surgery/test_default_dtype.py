"""Results have the dtype of the weights if a program has changed the default dtype of torch."""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.methods.registry import METHODS
from clip_surgery.surgery.text_walk import text_relevance, walk_text
from clip_surgery.surgery.walk import walk_two_paths
from clip_surgery.testing.tiny_models.companions import with_tiny_companion
from clip_surgery.testing.tiny_models.segmenters import method_with_tiny_parts
from clip_surgery.text.bank import encode_texts
from tests.towers import tiny_open_clip
from tests.zoo import TOWER_PARAMS, TOWERS


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def evidence(backbone, name):
    method = method_with_tiny_parts(name)
    with torch.no_grad():
        texts = encode_texts(backbone, ("cat", "tree"), templates=("a {}.",), cache=None)
    torch.manual_seed(0)
    pixels = torch.randn(2, 3, 32, 32, dtype=torch.float32)
    with torch.set_grad_enabled(method.needs_gradient):
        return method(backbone, pixels, texts)


@pytest.fixture(scope="module")
def backbone():
    return with_tiny_companion(wrap_backbone(tiny_open_clip()))


@pytest.mark.parametrize("name", METHODS)
def test_every_method_works_when_the_default_dtype_is_float64(name, backbone, request):
    expected = evidence(backbone, name)
    request.getfixturevalue("double_by_default")
    result = evidence(backbone, name)
    assert result.patches.dtype == torch.float32
    assert result.image.dtype == torch.float32
    torch.testing.assert_close(result.patches, expected.patches)


@pytest.mark.parametrize("kind", TOWER_PARAMS)
def test_every_tower_works_when_the_default_dtype_is_float64(kind, request):
    backbone = wrap_backbone(TOWERS[kind](seed=0))
    side = 4 * backbone.tower.patch_size
    pixels = backbone.normalise(torch.rand(1, 3, side, side, dtype=torch.float32))
    expected = walk_two_paths(backbone.tower, pixels).patches.detach()
    request.getfixturevalue("double_by_default")
    result = walk_two_paths(backbone.tower, pixels).patches.detach()
    assert result.dtype == torch.float32
    torch.testing.assert_close(result, expected)


def test_the_text_walk_works_when_the_default_dtype_is_float64(backbone, double_by_default):
    tower = backbone.text_tower
    token_ids = tower.tokenize(["a cat"])[0][:4]
    assert walk_text(tower, token_ids).dtype == torch.float32
    image = torch.randn(24, dtype=torch.float32)
    assert text_relevance(tower, token_ids, image, end=3).dtype == torch.float32


def test_normalised_pixels_keep_their_dtype(backbone, double_by_default):
    assert backbone.normalise(torch.rand(1, 3, 32, 32)).dtype == torch.float32
