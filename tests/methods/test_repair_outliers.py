"""Outlier repair as a setting of the dense methods, and towers that do not support it."""

from dataclasses import replace

import pytest
import torch

from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.registry import METHODS
from clip_surgery.methods.similarity import Similarity
from clip_surgery.testing.tiny_models.companions import tiny_companion
from clip_surgery.testing.tiny_models.segmenters import method_with_tiny_parts
from tests.methods.naive import (
    SIDE,
    assert_same_map,
    double_backbone,
    double_model,
    labels,
    random_images,
    self_attention,
    similarity,
)

DENSE = [name for name, cls in METHODS.items() if issubclass(cls, DenseMethod)]


def fill(tokens, attention):
    """Replace patches that the class token attends to more than patches do, one by one."""
    count = SIDE * SIDE
    outliers = set()
    for i in range(count):
        from_patches = sum(attention[1 + j, 1 + i] for j in range(count)) / count
        if attention[0, 1 + i] > from_patches:
            outliers.add(i)
    assert 0 < len(outliers) < count
    filled = tokens.clone()
    for i in outliers:
        row, column = divmod(i, SIDE)
        sound = [
            r * SIDE + c
            for r in range(max(0, row - 1), min(SIDE, row + 2))
            for c in range(max(0, column - 1), min(SIDE, column + 2))
            if r * SIDE + c not in outliers
        ]
        if sound:
            filled[1 + i] = sum(tokens[1 + j] for j in sound) / len(sound)
    return filled


CASES = {
    "similarity": (Similarity, "qk", 1, True, True),
    "clearclip": (ClearClip, "qq", 1, False, False),
    "clip_surgery": (ClipSurgery, "vv", 6, True, False),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_equations(name):
    method, pair, depth, residual, feed_forward = CASES[name]
    model, pixels, texts = double_model(), random_images(), labels()
    with torch.no_grad():
        evidence = method(repair_outliers=True)(double_backbone(model), pixels, texts)
        for row, image in enumerate(pixels):
            expected = similarity(
                model,
                image,
                texts,
                lambda head, normed: self_attention(head, pair),
                depth=depth,
                residual=residual,
                feed_forward=feed_forward,
                fill=fill,
            )
            assert_same_map(evidence.similarity[row], expected)


@pytest.mark.parametrize("name", DENSE)
def test_repair_in_every_dense_method_keeps_the_image_feature(name):
    backbone, pixels, texts = double_backbone(double_model()), random_images(), labels()
    companion = tiny_companion("dino", patch_size=8, img_size=32).double()
    backbone = replace(backbone, companion=load_companion(companion))
    with torch.no_grad():
        plain = method_with_tiny_parts(name)(backbone, pixels, texts)
        repaired = method_with_tiny_parts(name, repair_outliers=True)(backbone, pixels, texts)
    assert not torch.allclose(plain.patches, repaired.patches)
    torch.testing.assert_close(plain.image, repaired.image)


def test_a_tower_without_class_token_is_refused_and_alternatives_are_listed():
    backbone = double_backbone(double_model(visual={"pool_type": "avg"}))
    with pytest.raises(UnsupportedModelError, match=r"clip_surgery with .* class token") as caught:
        ClipSurgery(repair_outliers=True)(backbone, random_images(), labels())
    works = str(caught.value).rpartition(":")[2]
    assert "clip_surgery" in works
    assert "legrad" in works
    assert "rollout" not in works


def test_a_tower_of_one_block_is_refused():
    backbone = double_backbone(double_model(visual={"layers": 1}))
    with pytest.raises(UnsupportedModelError, match="second-last block"):
        Similarity(repair_outliers=True)(backbone, random_images(), labels())
