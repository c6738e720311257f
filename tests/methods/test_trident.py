"""Trident, compared with loops in float64, its neutral settings, windows and its segmenter."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import clip_surgery as cs
from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.evaluation.protocols.benchmarks import benchmark_protocol
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.proxy_clip import ProxyClip
from clip_surgery.methods.registry import METHODS
from clip_surgery.methods.trident import Trident
from clip_surgery.segmenters.image_attention import ImageAttention
from clip_surgery.segmenters.sam import SamSegmenter
from clip_surgery.surgery.companion_features import companion_patches
from clip_surgery.surgery.segmented_regions import image_of_pixels
from clip_surgery.surgery.segmenter_attention import segmenter_attention
from clip_surgery.testing.tiny_models.companions import tiny_companion
from clip_surgery.testing.tiny_models.segmenters import TINY_SEGMENTER, SameBrightness
from clip_surgery.windows import Windows, explain_windows
from tests.methods.naive import (
    blocks_of,
    double_backbone,
    double_model,
    labels,
    project_out,
    random_images,
    to_joint,
)
from tests.methods.test_proxy_clip import last_values
from tests.segmenters.test_image_attention import sam_with_positions
from tests.segmenters.test_sam import tiny_sam2
from tests.towers import tiny_open_clip

HERE = __name__


@cache
def sam():
    return SamSegmenter.wrap(sam_with_positions())


def sam2():
    return SamSegmenter.wrap(tiny_sam2())


class MasksOnly:
    def __call__(self, image, prompts):
        return []


class WrongWeights(SameBrightness):
    def image_attention(self, image):
        found = super().image_attention(image)
        return replace(found, weights=lambda queries: found.weights(queries)[:, :, 1:])


class GrowingGrid(SameBrightness):
    """The grid of the second image has one column more."""

    def image_attention(self, image):
        found = super().image_attention(image)
        count = found.grid.patches + (4 if image.name == "image 1" else 0)
        grid = PatchGrid(rows=4, columns=count // 4)
        weights = torch.full((1, count, count), 1 / count)
        return ImageAttention(
            grid=grid, values=torch.ones(1, count, 2), weights=lambda queries: weights[:, queries]
        )


@pytest.fixture(scope="module")
def model():
    return double_model()


@pytest.fixture(scope="module")
def backbone(model):
    companion = tiny_companion("dino", patch_size=8, img_size=32).double()
    return replace(double_backbone(model), companion=load_companion(companion))


def plain_weights(attention, centring, highest):
    """The rows of the aggregation (P, P), entry by entry."""
    weights, values = attention.weights(slice(None)).tolist(), attention.values.double()
    heads, count = values.shape[:2]
    mixed = [[0.0] * count for _ in range(count)]
    for h in range(heads):
        unit = [value / value.norm() for value in values[h]]
        cosines = [[float(a @ b) for b in unit] for a in unit]
        threshold = min(centring * sum(map(sum, cosines)) / count**2, highest)
        for i in range(count):
            for j in range(count):
                if cosines[i][j] > threshold or i == j:
                    mixed[i][j] += weights[h][i][j]
    rows = [[entry / sum(row) for entry in row] for row in mixed]
    return torch.tensor(rows, dtype=torch.float64)


def plain_similarity(model, backbone, image, texts, method):
    """Cosines (C, 64) of one image on the grid of SAM, 8 x 8 cells, entry by entry."""
    companion = companion_patches(backbone, image[None]).patches[0]
    unit = [patch / patch.norm() for patch in companion]
    cosines = [[float(a @ b) for b in unit] for a in unit]
    mean = sum(map(sum, cosines)) / 256
    block = blocks_of(model)[-1]
    values = last_values(model, block, image)
    outputs = []
    for i in range(16):
        keys = {j: method.sharpness * (cosines[i][j] - method.centring * mean) for j in range(16)}
        keys = {j: logit for j, logit in keys.items() if logit >= 0 or i == j}
        weights = torch.tensor(list(keys.values()), dtype=torch.float64).softmax(dim=0)
        received = sum(w * values[j] for w, j in zip(weights, keys, strict=True))
        outputs.append(project_out(block, received))
    maps = torch.stack(outputs).T.reshape(1, -1, 4, 4)
    maps = F.interpolate(maps, size=[8, 8], mode="bilinear", align_corners=False)[0]
    pixels = backbone.denormalise(image[None])[0]
    attention = sam().image_attention(image_of_pixels(pixels, "image"))
    rows = plain_weights(attention, method.key_centring, method.highest_threshold)
    features = to_joint(model, rows @ maps.flatten(1).T)
    return (F.normalize(features, dim=-1) @ texts.labels.double().T).T


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"key_centring": 0.5, "centring": 0.9}])
def test_the_map_equals_loops_in_float64(model, backbone, settings):
    images, texts = random_images() / 3, labels()
    method = Trident(segmenter=f"{HERE}:sam", **settings)
    evidence = method(backbone, images, texts)
    assert evidence.grid == PatchGrid(rows=8, columns=8)
    for image, actual in zip(images, evidence.similarity, strict=True):
        expected = plain_similarity(model, backbone, image, texts, method)
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_batch_of_images_equals_single_images(backbone):
    images, texts = random_images() / 3, labels()
    method = Trident(segmenter=f"{HERE}:sam")
    together = method(backbone, images, texts)
    for index, image in enumerate(images):
        alone = method(backbone, image[None], texts)
        torch.testing.assert_close(together.patches[index], alone.patches[0])
        torch.testing.assert_close(together.image[index], alone.image[0])


@torch.no_grad()
def test_a_cell_as_its_only_key_is_proxy_clip(backbone):
    images, texts = random_images(), labels()
    method = Trident(segmenter=TINY_SEGMENTER, key_centring=1e6, highest_threshold=1)
    proxy = ProxyClip()(backbone, images, texts)
    actual = method(backbone, images, texts)
    assert actual.grid == proxy.grid
    torch.testing.assert_close(actual.patches, proxy.patches)
    other = replace(method, key_centring=1.2)(backbone, images, texts)
    assert not torch.allclose(other.patches, proxy.patches)


@torch.no_grad()
def test_the_grid_of_the_model_is_that_of_its_patches(backbone):
    method = Trident(segmenter=f"{HERE}:sam", grid="model")
    assert method(backbone, random_images(), labels()).grid == PatchGrid(rows=4, columns=4)


@torch.no_grad()
@pytest.mark.parametrize("segmenter", [f"{HERE}:sam", TINY_SEGMENTER])
def test_constant_images_and_single_patches_have_finite_maps(backbone, segmenter):
    method = Trident(segmenter=segmenter)
    for size in ((32, 32), (8, 8), (8, 32)):
        evidence = method(backbone, torch.zeros(1, 3, *size, dtype=torch.float64), labels())
        assert evidence.is_finite()


def test_rows_in_parts_are_the_whole_and_follow_loops(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(3, 10, 10, generator=generator, dtype=torch.float64) / 20
    attention = ImageAttention(
        grid=PatchGrid(rows=2, columns=5),
        values=torch.randn(3, 10, 4, generator=generator, dtype=torch.float64) + 0.5,
        weights=lambda queries: weights[:, queries],
    )
    patches = torch.randn(10, 6, generator=generator, dtype=torch.float64)
    for centring, highest in ((1.2, 0.9), (3.0, 0.4), (0.0, -1.0)):
        whole = segmenter_attention(attention, patches, centring=centring, highest=highest)
        torch.testing.assert_close(whole, plain_weights(attention, centring, highest) @ patches)
    monkeypatch.setattr("clip_surgery.surgery.segmenter_attention.ENTRIES", 3 * 10 * 4)
    parts = segmenter_attention(attention, patches, centring=0.0, highest=-1.0)
    torch.testing.assert_close(parts, whole)


def test_a_cell_without_attention_keeps_its_patch():
    attention = ImageAttention(
        grid=PatchGrid(rows=1, columns=3),
        values=torch.zeros(2, 3, 4),
        weights=lambda queries: torch.zeros(2, 3, 3)[:, queries],
    )
    patches = torch.randn(3, 5)
    torch.testing.assert_close(segmenter_attention(attention, patches), patches)


def explainer(method):
    return cs.wrap(
        tiny_open_clip(),
        templates="photo",
        companion=tiny_companion("dino", patch_size=8, img_size=32),
        method=method,
        cache=False,
        vocabulary=None,
    )


def test_outputs_of_windows_are_averaged_before_the_segmenter_sees_the_whole_image(monkeypatch):
    sizes = []
    original = SameBrightness.image_attention

    def recorded(self, image):
        sizes.append(tuple(image.size))
        return original(self, image)

    monkeypatch.setattr(SameBrightness, "image_attention", recorded)
    method = Trident(segmenter=TINY_SEGMENTER)
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    windows = Windows(crop=32, stride=16, stitch="outputs", weighting="equal")
    texts = ["cat", "bench"]
    found = explain_windows(explainer(method), image, texts, windows=windows)
    assert sizes == [(32, 64)]
    assert found.patch_scores[0].shape == (2, 4, 8)
    [segmentation] = cs.segment(found)
    assert segmentation.shape == (32, 64)


@pytest.mark.slow
def test_outputs_of_windows_are_averaged_before_their_projection():
    """The projection is not linear, so the mean of projected features is another map."""
    method = Trident(segmenter=TINY_SEGMENTER, key_centring=1e6, highest_threshold=1)
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), dtype=np.uint8)
    windows = Windows(crop=32, stride=16, stitch="outputs", weighting="equal")
    texts = ["cat", "bench"]
    own = explain_windows(explainer(method), image, texts, windows=windows)
    proxy = explain_windows(explainer(ProxyClip()), image, texts, windows=windows)
    assert not torch.allclose(own.patch_scores[0], proxy.patch_scores[0], atol=1e-4)
    one = replace(windows, crop=64)
    own = explain_windows(explainer(method), image[:, :32], texts, windows=one)
    proxy = explain_windows(explainer(ProxyClip()), image[:, :32], texts, windows=one)
    torch.testing.assert_close(own.patch_scores[0], proxy.patch_scores[0])


@torch.no_grad()
@pytest.mark.parametrize(
    ("segmenter", "reason"),
    [("sam2", "SAM 2 has no attention"), ("MasksOnly", "MasksOnly does not give the attention")],
)
def test_a_segmenter_without_attention_is_refused_with_alternatives(backbone, segmenter, reason):
    method = Trident(segmenter=f"{HERE}:{segmenter}")
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        method(backbone, random_images(1), labels())
    assert caught.value.part == "segmenter"
    assert "proxy_clip" in caught.value.alternatives
    assert "trident" not in caught.value.alternatives


@torch.no_grad()
@pytest.mark.parametrize(
    ("segmenter", "message"),
    [("WrongWeights", r"weights \(2, 16, 16\)"), ("GrowingGrid", r"\[\(4, 4\), \(4, 5\)\]")],
)
def test_bad_segmenters(backbone, segmenter, message):
    with pytest.raises(InputError, match=message):
        Trident(segmenter=f"{HERE}:{segmenter}")(backbone, random_images(), labels())


def test_trident_needs_a_companion_and_a_segmenter():
    assert METHODS["trident"].needs == {"companion", "segmenter"}
    assert Trident(segmenter="facebook/sam-vit-base").needs == {"companion"}
    with pytest.raises(UnsupportedModelError, match="segmenter="):
        explainer("trident")([np.zeros((32, 32, 3), np.uint8)], ["cat"])


def test_the_protocol_averages_outputs_of_windows():
    windows = benchmark_protocol("trident", "context59").windows
    expected = Windows(size=576, crop=336, stride=224, stitch="outputs")
    assert windows == expected
    assert benchmark_protocol("trident", "cityscapes").methods == ("trident(key_centring=3)",)
    assert benchmark_protocol("trident", "voc20").methods == ("trident(key_centring=0)",)
    assert benchmark_protocol("proxy_clip", "voc20").windows.stitch == "logits"


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"grid": "companion"}, UnknownNameError),
        ({"centring": -1}, InputError),
        ({"sharpness": 0}, InputError),
        ({"key_centring": float("nan")}, InputError),
        ({"highest_threshold": 1.5}, InputError),
    ],
)
def test_bad_settings(settings, error):
    with pytest.raises(error):
        Trident(**settings)
