"""CorrCLIP, compared with loops in float64, its neutral settings and its segmenter."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import clip_surgery as cs
from clip_surgery.apps.cli.shared.evaluation_run import supported_methods
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.export.traced_tower import require_dense
from clip_surgery.methods.corr_clip import CorrClip, nearest_regions
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.registry import METHODS, as_method
from clip_surgery.methods.segmenter_method import with_segmenter
from clip_surgery.segmenters.registry import register_segmenter
from clip_surgery.segmenters.segmenter import Candidates
from clip_surgery.surgery.last_block import enter_last_block
from clip_surgery.surgery.observed_tower import observed_tower
from clip_surgery.surgery.region_tokens import region_tokens
from clip_surgery.testing.tiny_backbones import tiny_backbones
from clip_surgery.testing.tiny_models.companions import tiny_companion
from clip_surgery.testing.tiny_models.segmenters import TINY_SEGMENTER
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
    to_joint,
)
from tests.towers import tiny_open_clip

HERE = __name__


class Halves:
    """Three masks: a column on the left, one on the right that covers more, and nothing between.

    The first point is rated too low, and others see copies of the two masks.
    """

    def __call__(self, image, prompts):
        height, width = image.size
        left = torch.zeros(height, width, dtype=torch.bool)
        left[:, : width // 4] = True
        right = torch.zeros(height, width, dtype=torch.bool)
        right[:, width // 2 :] = True
        candidates = []
        for index, prompt in enumerate(prompts):
            mask = left if prompt.xy[0, 0] < width / 2 else right
            score = 0.1 if index == 0 else 0.9
            candidates.append(
                Candidates(
                    masks=torch.stack([~mask, mask]), scores=torch.tensor([score - 0.05, score])
                )
            )
        return candidates


class Nothing:
    """No pixel belongs to anything."""

    def __call__(self, image, prompts):
        mask = torch.zeros(1, *image.size, dtype=torch.bool)
        return [Candidates(masks=mask, scores=torch.ones(1)) for _ in prompts]


class EveryPatch:
    """Each point selects the 8 px square around it, which is one patch for 4 x 4 points."""

    def __call__(self, image, prompts):
        candidates = []
        for prompt in prompts:
            x, y = (int(value) // 8 * 8 for value in prompt.xy[0])
            mask = torch.zeros(1, *image.size, dtype=torch.bool)
            mask[0, y : y + 8, x : x + 8] = True
            candidates.append(Candidates(masks=mask, scores=torch.ones(1)))
        return candidates


class TooFew:
    def __call__(self, image, prompts):
        return Nothing()(image, prompts)[1:]


class Transposed:
    def __call__(self, image, prompts):
        height, width = image.size
        mask = torch.ones(1, width, height + 1, dtype=torch.bool)
        return [Candidates(masks=mask, scores=torch.ones(1)) for _ in prompts]


@pytest.fixture(scope="module")
def model():
    return double_model()


@pytest.fixture(scope="module")
def companion():
    return tiny_companion("dino", patch_size=8, img_size=32).double()


@pytest.fixture(scope="module")
def backbone(model, companion):
    return replace(double_backbone(model), companion=load_companion(companion))


def companion_features(companion, pixels):
    """q + k of the companion's last block, unit length (16, E)."""
    seen = []
    handle = companion.blocks[-1].attn.qkv.register_forward_hook(
        lambda _, __, output: seen.append(output)
    )
    mean, std = (
        torch.tensor(v, dtype=torch.float64).view(3, 1, 1)
        for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    companion.forward_features((pixels[None] - mean) / std)
    handle.remove()
    query, key, _ = seen[0][0, 1:].chunk(3, dim=-1)
    return F.normalize(query + key, dim=-1)


def plain_similarity(model, companion, image, texts, regions):
    """Cosines (C, 16) of one image for the region of each patch, entry by entry."""
    pixels = double_backbone(model).denormalise(image[None])[0]
    unit = companion_features(companion, pixels)
    cosines = [[float(a @ b) for b in unit] for a in unit]
    mean = sum(map(sum, cosines)) / 256
    inputs = [embed(model, image)]
    for block in blocks_of(model):
        inputs.append(run(block, inputs[-1]))
    blocks = blocks_of(model)
    count = len(blocks)
    first = min(max(int(0.5 * count + 0.5), 1), count - 1)
    final = min(max(int(0.83 * count + 0.5), 1), count - 1)
    middle = sum(inputs[first : final + 1]) / (final + 1 - first)

    def attended(tokens):
        heads = heads_of(blocks[-1], blocks[-1].ln_1(tokens))
        values = torch.cat([head["v"][1:] for head in heads], dim=-1)
        rows = []
        for i in range(16):
            keys = {}
            for j in range(16):
                if regions[i] and regions[j]:
                    allowed = regions[i] == regions[j]
                else:
                    allowed = cosines[i][j] > mean
                if allowed or i == j:
                    keys[j] = 4 * cosines[i][j]
            weights = torch.tensor(list(keys.values()), dtype=torch.float64).softmax(dim=0)
            rows.append(sum(w * values[j] for w, j in zip(weights, keys, strict=True)))
        return to_joint(model, project_out(blocks[-1], torch.stack(rows)))

    def token_of(region):
        token = inputs[0][:1]
        for block, tokens in zip(blocks, inputs, strict=False):
            own = heads_of(block, block.ln_1(token))
            other = heads_of(block, block.ln_1(tokens))
            keys = [0, *(1 + j for j in range(16) if regions[j] == region)]
            received = []
            for mine, theirs in zip(own, other, strict=True):
                logits = mine["q"] @ theirs["k"][keys].T / mine["q"].shape[-1] ** 0.5
                received.append(logits.softmax(dim=-1) @ theirs["v"][keys])
            token = token + project_out(block, torch.cat(received, dim=-1))
            token = token + block.mlp(block.ln_2(token))
        return to_joint(model, token)[0]

    semantic = torch.stack([token_of(region) for region in regions])
    features = attended(inputs[-2]) + attended(middle) + 0.5 * semantic
    return (F.normalize(features, dim=-1) @ texts.labels.double().T).T


@torch.no_grad()
@pytest.mark.parametrize("join_cosine", [-1.0, 1.5])
def test_the_map_equals_loops_in_float64(model, companion, backbone, join_cosine):
    images, texts = random_images() / 3, labels()
    method = CorrClip(segmenter=f"{HERE}:Halves", join_cosine=join_cosine)
    evidence = method(backbone, images, texts)
    assert evidence.grid.patches == 16
    right = 1 if join_cosine < 0 else 2
    regions = [1, 0, right, right] * 4
    for image, actual in zip(images, evidence.similarity, strict=True):
        expected = plain_similarity(model, companion, image, texts, regions)
        torch.testing.assert_close(actual.double(), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_regions_of_one_patch_alone_are_bare_maskclip(backbone):
    images, texts = random_images(), labels()
    method = CorrClip(
        segmenter=f"{HERE}:EveryPatch",
        points_per_side=4,
        join_cosine=2,
        spatial_weight=0,
        semantic_weight=0,
    )
    bare = MaskClip(residual=False, feed_forward=False)(backbone, images, texts).patches
    torch.testing.assert_close(method(backbone, images, texts).patches, bare)
    spatial = replace(method, spatial_weight=1.0)(backbone, images, texts).patches
    assert not torch.allclose(spatial, bare)


@torch.no_grad()
@pytest.mark.parametrize("segmenter", ["Nothing", "Halves"])
def test_constant_images_and_single_patches_have_finite_maps(backbone, segmenter):
    method = CorrClip(segmenter=f"{HERE}:{segmenter}")
    for size in ((32, 32), (8, 8), (8, 32)):
        evidence = method(backbone, torch.zeros(1, 3, *size, dtype=torch.float64), labels())
        assert evidence.is_finite()


@torch.no_grad()
@pytest.mark.parametrize("name", ["open_clip", "timm_eva", "open_clip_resnet"])
def test_the_token_of_a_region_of_the_whole_image_is_the_class_token(name):
    backbone = tiny_backbones([name])[name]
    side = 4 * backbone.tower.patch_size
    pixels = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    inputs = []
    count = len(backbone.tower.blocks)
    tower = observed_tower(
        backbone.tower, inputs=range(1, count), see_input=lambda _, x: inputs.append(x[0])
    )
    last = enter_last_block(tower, pixels)
    whole = torch.ones(2, 16, dtype=torch.bool)
    tokens = region_tokens(last.tower, [*inputs, last.tokens[0]], whole)
    image = last.tower.pool(tokens[:, None])
    torch.testing.assert_close(image, last.image().expand(2, -1))


def test_methods_without_a_segmenter_are_left_out_with_the_reason(backbone, capsys):
    methods = {"corr_clip": CorrClip(), "bare": MaskClip(residual=False)}
    assert list(supported_methods(methods, backbone)) == ["bare"]
    reason = " ".join(capsys.readouterr().err.split())
    assert "corr_clip is left out: it needs a segmenter such as SAM" in reason
    with pytest.raises(UnsupportedModelError, match="segmenter="):
        supported_methods({"corr_clip": CorrClip()}, backbone)
    given = {"given": CorrClip(segmenter=TINY_SEGMENTER)}
    assert list(supported_methods(given, backbone)) == ["given"]


def test_regions_at_the_nearest_pixels():
    grid = cs.PatchGrid(rows=2, columns=3)
    regions = torch.arange(24).reshape(4, 6)
    assert nearest_regions(regions, grid).tolist() == [[0, 2, 4], [12, 14, 16]]


def test_windows_and_tasks_with_a_coarser_companion():
    explainer = cs.wrap(
        tiny_open_clip(),
        companion=tiny_companion("dinov3"),  # 16 px beside 8 px
        method=f"corr_clip(segmenter={TINY_SEGMENTER})",
        cache=False,
        vocabulary=None,
    )
    image = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
    explanation = explainer([image], ["cat", "bench"])
    assert f"segmenter='{TINY_SEGMENTER}'" in explanation.method
    [segmentation] = cs.segment(explanation)
    assert segmentation.shape == (40, 64)


@pytest.mark.parametrize(
    ("companion", "segmenter", "missing"),
    [
        (None, TINY_SEGMENTER, "companion"),
        (tiny_companion("dino"), None, "segmenter"),
    ],
)
def test_a_missing_part_is_named_with_advice(companion, segmenter, missing):
    explainer = cs.wrap(
        tiny_open_clip(),
        companion=companion,
        method=CorrClip(segmenter=segmenter),
        cache=False,
        vocabulary=None,
    )
    advice = {"companion": "--companion on the command line", "segmenter": "segmenter="}
    with pytest.raises(UnsupportedModelError, match=advice[missing]) as caught:
        explainer([np.zeros((32, 32, 3), np.uint8)], ["cat", "bench"])
    assert caught.value.part == missing
    assert "clip_surgery" in caught.value.alternatives
    assert "corr_clip" not in caught.value.alternatives
    with pytest.raises(InputError, match="cannot be exported"):
        require_dense(CorrClip(segmenter=segmenter))


def test_a_segmenter_is_given_to_methods_without_one():
    bare = MaskClip(residual=False)
    assert with_segmenter(bare, "sam") is bare
    assert with_segmenter(CorrClip(), "sam") == CorrClip(segmenter="sam")
    assert with_segmenter(CorrClip(segmenter="own"), "sam") == CorrClip(segmenter="own")
    assert with_segmenter(CorrClip(), None) == CorrClip()


def test_a_method_with_a_segmenter_no_longer_needs_one():
    assert METHODS["corr_clip"].needs == CorrClip().needs == {"companion", "segmenter"}
    assert CorrClip(segmenter="sam").needs == {"companion"}
    assert as_method("corr_clip(segmenter=facebook/sam-vit-base,sharpness=2)") == CorrClip(
        segmenter="facebook/sam-vit-base", sharpness=2
    )


@torch.no_grad()
@pytest.mark.parametrize(
    ("segmenter", "error", "message"),
    [
        (f"{HERE}:TooFew", InputError, "expected 64 results of the segmenter, but got 63"),
        (f"{HERE}:Transposed", InputError, r"masks of \(32, 32\) from the segmenter"),
        ("no_such_segmenter", UnknownNameError, "no_such_segmenter"),
    ],
)
def test_bad_segmenters(backbone, segmenter, error, message):
    with pytest.raises(error, match=message):
        CorrClip(segmenter=segmenter)(backbone, random_images(1), labels())


@torch.no_grad()
def test_a_segmenter_that_is_registered_again_replaces_the_first(backbone, monkeypatch):
    monkeypatch.setattr("clip_surgery.segmenters.registry._loaders", loaders := {})
    monkeypatch.setattr("clip_surgery.methods.segmenter_method.SEGMENTERS", loaders)
    method, arguments = CorrClip(segmenter="mine"), (random_images(1), labels())
    register_segmenter("mine", f"{HERE}:Halves")
    halves = method(backbone, *arguments).patches
    loaders["mine"] = f"{HERE}:Nothing"
    nothing = method(backbone, *arguments).patches
    assert not torch.allclose(halves, nothing)
    torch.testing.assert_close(
        nothing, CorrClip(segmenter=f"{HERE}:Nothing")(backbone, *arguments).patches
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"points_per_side": 0},
        {"points_per_side": 65},
        {"first_level": 0.9},
        {"last_level": 1.1},
        {"sharpness": -1},
        {"spatial_weight": float("nan")},
        {"semantic_weight": float("inf")},
        {"min_score": float("nan")},
        {"segmenter": ""},
        {"segmenter": Halves()},
    ],
)
def test_bad_settings(settings):
    with pytest.raises(InputError):
        CorrClip(**settings)
