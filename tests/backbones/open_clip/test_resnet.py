"""ResNets of open_clip: one attention pool, any rectangle, and the two forms of its surgery."""

import open_clip
import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.backbones.positions import interpolate_positions
from clip_surgery.errors import UnknownNameError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.registry import method_named
from clip_surgery.surgery.walk import walk
from tests.zoo import tiny_resnet

EXACT = {"rtol": 1e-5, "atol": 5e-6}


@pytest.fixture(scope="module")
def model():
    return tiny_resnet()


@pytest.fixture(scope="module")
def tower(model):
    return wrap_backbone(model).tower


def test_facts(model, tower):
    assert (tower.prefix_tokens, tower.patch_size, tower.width) == (1, 32, 128)
    assert (len(tower.blocks), tower.pool_reads, tower.attention_pool) == (1, "prefix", True)
    assert tower.blocks[0].attention.scale == 32**-0.5
    assert wrap_backbone(model).image_size == 64


@pytest.mark.parametrize("arch", ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"])
def test_real_configurations(arch):
    """Built without weights: heads of width 64, a pool of 32 stem widths, patches of 32 px."""
    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(arch))
    model.logit_scale = torch.nn.Parameter(torch.zeros(()))
    backbone = wrap_backbone(model)
    attention = backbone.tower.blocks[0].attention
    assert attention.heads * 64 == backbone.tower.width == 32 * model.visual.conv3.out_channels
    assert attention.scale == 64**-0.5
    assert backbone.image_size % 32 == 0


@pytest.mark.parametrize("size", [(32, 96), (128, 64), (160, 160)])
@torch.no_grad()
def test_other_sizes_equal_a_model_of_that_size(model, tower, size):
    """Compare with the layers of open_clip and explicitly interpolated positions."""
    visual, pixels = model.visual, torch.randn(2, 3, *size)
    maps = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(pixels)))))
    pool = open_clip.modified_resnet.AttentionPool2d(1, 128, 4, 24)
    positions = interpolate_positions(
        visual.attnpool.positional_embedding,
        native=PatchGrid(rows=2, columns=2),
        grid=PatchGrid(rows=size[0] // 32, columns=size[1] // 32),
    )
    pool.load_state_dict({**visual.attnpool.state_dict(), "positional_embedding": positions[:2]})
    pool.positional_embedding = torch.nn.Parameter(positions)
    torch.testing.assert_close(walk(tower, pixels).image, pool(maps), **EXACT)


def naive_pool(model, tokens, *, sharpness, unit, class_attention):
    """A plain implementation of the pool with value-value attention, (B, N, 24).

    If `class_attention`, the class token keeps the attention of the model.
    """
    pool = model.visual.attnpool
    q, k, v = (
        layer(tokens).unflatten(-1, (4, 32)).transpose(1, 2)
        for layer in (pool.q_proj, pool.k_proj, pool.v_proj)
    )
    points = v / v.norm(dim=-1, keepdim=True) if unit else v
    consistent = (sharpness * 32**-0.5 * points @ points.mT).softmax(-1)
    model_attention = (32**-0.5 * q @ k.mT).softmax(-1)
    attention = consistent.clone()
    if class_attention:
        attention[:, :, 0] = model_attention[:, :, 0]
    return pool.c_proj((attention @ v).transpose(1, 2).flatten(2))


@torch.no_grad()
def test_paper_is_sharper_on_unit_values_and_keeps_the_class_token(model, tower):
    pixels = torch.randn(2, 3, 96, 128)
    features = method_named("clip_surgery").features(tower, pixels)
    expected = naive_pool(model, tower.embed(pixels), sharpness=8, unit=True, class_attention=True)
    torch.testing.assert_close(features.image, expected[:, 0], **EXACT)
    torch.testing.assert_close(features.image, walk(tower, pixels).image)
    torch.testing.assert_close(features.patches, expected[:, 1:], **EXACT)


@torch.no_grad()
def test_reference_has_plain_values_and_a_consistent_class_token(model, tower):
    pixels = torch.randn(2, 3, 96, 128)
    method = method_named("clip_surgery", attention_pool="reference")
    features = method.features(tower, pixels)
    expected = naive_pool(
        model, tower.embed(pixels), sharpness=1, unit=False, class_attention=False
    )
    torch.testing.assert_close(features.image, expected[:, 0], **EXACT)
    torch.testing.assert_close(features.patches, expected[:, 1:], **EXACT)
    assert (features.image - walk(tower, pixels).image).abs().max() > 0.01


@torch.no_grad()
def test_maskclip_equals_the_projected_values(model, tower):
    pixels = torch.randn(1, 3, 64, 96)
    pool = model.visual.attnpool
    expected = pool.c_proj(pool.v_proj(tower.embed(pixels)))[:, 1:]
    for settings in ({}, {"residual": False, "feed_forward": False}):
        actual = method_named("maskclip", **settings).features(tower, pixels).patches
        torch.testing.assert_close(actual, expected, **EXACT)


def test_depth_zero_equals_clip(tower):
    pixels = torch.randn(1, 3, 64, 64)
    for pool in ("paper", "reference"):
        actual = method_named("clip_surgery", depth=0, attention_pool=pool).features(tower, pixels)
        torch.testing.assert_close(actual.patches, walk(tower, pixels).patches)


def test_an_unknown_form_is_refused():
    with pytest.raises(UnknownNameError, match="paper"):
        method_named("clip_surgery", attention_pool="papper")


@torch.no_grad()
def test_frozen_batch_norms():
    model = tiny_resnet()
    pixels = torch.randn(1, 3, 64, 64)
    expected = model.encode_image(pixels)
    model.lock_image_tower(freeze_bn_stats=True)
    torch.testing.assert_close(walk(wrap_backbone(model).tower, pixels).image, expected, **EXACT)
