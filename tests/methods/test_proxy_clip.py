"""ProxyCLIP, compared with loops in float64, and its neutral settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import clip_surgery as cs
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.export.traced_tower import require_dense
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.proxy_clip import ProxyClip
from clip_surgery.surgery.companion_features import companion_heads, companion_patches
from clip_surgery.surgery.proxy_attention import proxy_attention
from clip_surgery.testing.tiny_models.companions import tiny_companion
from clip_surgery.windows import Windows, explain_windows
from tests.methods.naive import (
    blocks_of,
    double_backbone,
    double_model,
    embed,
    heads_of,
    labels,
    project_out,
    random_images,
    run,
)
from tests.towers import tiny_open_clip

TEXTS = ["cat", "bench"]


def with_companion(backbone, kind="dino", **sizes):
    model = tiny_companion(kind, **sizes).to(backbone.dtype)
    return replace(backbone, companion=load_companion(model))


@pytest.fixture(scope="module")
def model():
    return double_model()


def plain_map(model, companion, image, texts, centring, sharpness, side):
    """Cosines (C, P) of one image, entry by entry; `side` is that of the companion's patches."""
    backbone = double_backbone(model)
    pixels = backbone.denormalise(image[None]).double()
    if side != 8:
        size = [round(32 / side) * side] * 2
        pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=True)
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1)
        for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    tokens = companion.forward_features((pixels - mean) / std)[0, 1:]
    unit = [token / token.norm() for token in tokens]
    count = len(unit)
    cosines = [[float(a @ b) for b in unit] for a in unit]
    average = sum(map(sum, cosines)) / count**2
    block = blocks_of(model)[-1]
    values = last_values(model, block, image)  # (16, E)
    rows = round(count**0.5)
    values = (
        F.interpolate(
            values.T.reshape(1, -1, 4, 4), size=[rows, rows], mode="bilinear", align_corners=False
        )[0]
        .flatten(1)
        .T
    )
    similarity = []
    for i in range(count):
        keys = {j: sharpness * (cosines[i][j] - centring * average) for j in range(count)}
        keys = {j: logit for j, logit in keys.items() if logit >= 0 or i == j}
        weights = torch.tensor(list(keys.values()), dtype=torch.float64).softmax(dim=0)
        received = sum(w * values[j] for w, j in zip(weights, keys, strict=True))
        feature = model.visual.ln_post(project_out(block, received)) @ model.visual.proj
        similarity.append(F.normalize(feature, dim=-1) @ texts.labels.double().T)
    return torch.stack(similarity).T


def last_values(model, block, image):
    """Values of the patches in the last block, heads joined (16, E)."""
    tokens = embed(model, image)
    for earlier in blocks_of(model)[:-1]:
        tokens = run(earlier, tokens)
    heads = heads_of(block, block.ln_1(tokens))
    return torch.cat([head["v"][1:] for head in heads], dim=-1)


@torch.no_grad()
@pytest.mark.parametrize("side", [8, 6, 16])
def test_the_map_equals_loops_in_float64(model, side):
    companion = tiny_companion("dino", patch_size=side, img_size=round(32 / side) * side).double()
    backbone = replace(double_backbone(model), companion=load_companion(companion))
    images, texts = random_images() / 3, labels()
    evidence = ProxyClip(centring=0.9, sharpness=2.0)(backbone, images, texts)
    rows = round(32 / side)
    assert (evidence.grid.rows, evidence.grid.columns) == (rows, rows)
    for image, actual in zip(images, evidence.similarity, strict=True):
        expected = plain_map(model, companion, image, texts, 0.9, 2.0, side)
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_only_the_patch_itself_as_key_is_bare_maskclip(model):
    """With a centring that no affinity reaches, each patch keeps its own value."""
    backbone, images, texts = with_companion(double_backbone(model)), random_images(), labels()
    actual = ProxyClip(centring=1e6)(backbone, images, texts).patches
    bare = MaskClip(residual=False, feed_forward=False)(backbone, images, texts).patches
    torch.testing.assert_close(actual, bare)


@torch.no_grad()
def test_the_grid_of_the_model_is_that_of_its_patches(model):
    backbone = with_companion(double_backbone(model), "dinov3")
    evidence = ProxyClip(grid="model")(backbone, random_images(), labels())
    assert evidence.grid.patches == 16
    assert ProxyClip()(backbone, random_images(), labels()).grid.patches == 4


def test_rows_in_parts_are_the_whole(monkeypatch):
    patches, values = torch.randn(2, 13, 5), torch.randn(2, 13, 7)
    whole = proxy_attention(patches, values)
    monkeypatch.setattr("clip_surgery.surgery.proxy_attention.ENTRIES", 2 * 13 * 4)
    torch.testing.assert_close(proxy_attention(patches, values), whole)


def test_a_constant_image_keeps_its_values():
    values = torch.randn(1, 6, 3)
    actual = proxy_attention(torch.ones(1, 6, 4), values)
    torch.testing.assert_close(actual, values)
    assert proxy_attention(torch.zeros(1, 6, 4), values).isfinite().all()


@torch.no_grad()
def test_the_heads_of_a_companion_are_those_of_its_last_block(model):
    backbone = with_companion(double_backbone(model))
    images = random_images()
    heads = companion_heads(backbone, images)
    companion = backbone.companion.model
    seen = {}
    handle = companion.blocks[-1].attn.qkv.register_forward_hook(
        lambda _, __, output: seen.update(qkv=output)
    )
    companion.forward_features(backbone.companion.pixels(backbone.denormalise(images)))
    handle.remove()
    query, key, _ = seen["qkv"].reshape(2, 17, 3, 2, 16).permute(2, 0, 3, 1, 4)
    torch.testing.assert_close(heads.key, key[:, :, 1:])
    torch.testing.assert_close(heads.query, query[:, :, 1:])
    assert companion_patches(backbone, images).patches.shape == (2, 16, 32)


def test_a_model_without_a_companion_is_refused_with_advice():
    explainer = cs.wrap(tiny_open_clip(), method="proxy_clip", cache=False, vocabulary=None)
    with pytest.raises(UnsupportedModelError, match="--companion on the command line") as caught:
        explainer([np.zeros((32, 32, 3), np.uint8)], TEXTS)
    assert "clip_surgery" in caught.value.alternatives
    with pytest.raises(InputError, match="cannot be exported"):
        require_dense(ProxyClip())


def test_windows_blend_maps_of_a_finer_companion():
    """A companion of 4 px patches beside a model of 8 px: the map has four times the patches."""
    companion = tiny_companion("dino", patch_size=4, img_size=32)
    explainer = cs.wrap(
        tiny_open_clip(),
        companion=companion,
        method="proxy_clip",
        cache=False,
        vocabulary=["cup"],
    )
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    whole = explain_windows(explainer, image, TEXTS, windows=Windows(crop=32, stride=32))
    assert whole.patch_scores[0].shape == (2, 8, 16)
    halves = [
        explainer(np.ascontiguousarray(image[:, part]), TEXTS)
        for part in (slice(0, 32), slice(32, 64))
    ]
    expected = torch.cat([half.patch_scores[0] for half in halves], dim=-1)
    torch.testing.assert_close(whole.patch_scores[0], expected)
    assert "with wrapped:VisionTransformer" in whole.backbone
    assert halves[0].backbone == whole.backbone
    assert explainer.with_method("similarity")(image, TEXTS).backbone == explainer.backbone.name


def test_windows_resize_maps_of_a_coarser_companion():
    companion = tiny_companion("dinov3")  # 16 px beside 8 px
    explainer = cs.wrap(
        tiny_open_clip(), companion=companion, method="proxy_clip", cache=False, vocabulary=None
    )
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    whole = explain_windows(explainer, image, TEXTS, windows=Windows(crop=32, stride=16))
    assert whole.patch_scores[0].shape == (2, 5, 8)
    assert whole.patch_scores[0].isfinite().all()


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"centring": -1}, InputError),
        ({"sharpness": 0}, InputError),
        ({"grid": "dino"}, UnknownNameError),
    ],
)
def test_bad_settings(settings, error):
    with pytest.raises(error):
        ProxyClip(**settings)
