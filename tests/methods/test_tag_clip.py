"""TagCLIP, compared with loops over the tokens and attention of the model."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.tag_clip import TagClip
from clip_surgery.surgery.limited_class_token import limited_image_features
from tests.methods.naive import (
    PATCH,
    SIDE,
    assert_same_map,
    attentions_of,
    blocks_of,
    double_backbone,
    double_model,
    embed,
    finish,
    heads_of,
    labels,
    random_images,
    run,
    to_joint,
)
from tests.methods.test_methods_on_a_base import boxes_of

COUNT = SIDE * SIDE


def plain_attention(model, image):
    """The mean attention (P, P) of the later blocks where a third of all blocks agree."""
    tokens, votes, later = embed(model, image), torch.zeros(COUNT, COUNT), []
    blocks = blocks_of(model)
    for number, block in enumerate(blocks[:-1], start=1):
        heads = attentions_of(heads_of(block, block.ln_1(tokens)))
        attention = (sum(heads) / len(heads))[1:, 1:]
        votes += attention > attention.mean()
        if number >= 9:
            later.append(attention)
        tokens = run(block, tokens)
    votes += torch.eye(COUNT)  # in the last block a patch attends to itself
    return sum(later) / len(later) * (votes >= 4)


def plain_maps(model, image, probability):
    """The refined maps (C, P) of probabilities (C, P)."""
    attention = plain_attention(model, image)
    maps = []
    for one in probability:
        first = attention @ one
        level = (first - first.min()) / (first.max() - first.min())
        inside = boxes_of((level >= level.mean()).view(SIDE, SIDE)).flatten()
        maps.append(attention @ (one * inside))
    return torch.stack(maps)


def probabilities(backbone, pixels, texts):
    features = MaskClip().features(backbone.tower, pixels).patches
    rivals = torch.cat([texts.labels, texts.empty[None]]).double()
    cosines = F.normalize(features, dim=-1) @ rivals.T
    return (backbone.logit_scale * cosines).softmax(dim=-1).mT


@torch.no_grad()
def test_maps_without_crops_equal_a_loop():
    model = double_model(visual={"layers": 12})
    backbone, pixels, texts = double_backbone(model), random_images(), labels()
    evidence = TagClip(crops=False)(backbone, pixels, texts)
    probability = probabilities(backbone, pixels, texts)
    for row, image in enumerate(pixels):
        expected = plain_maps(model, image, probability[row])[:3]
        assert_same_map(evidence.patches[row], expected)
    assert torch.equal(evidence.patches, evidence.similarity)


@torch.no_grad()
def test_a_candidate_is_compared_again_on_its_crop():
    model = double_model(visual={"layers": 12})
    backbone, pixels, texts = double_backbone(model), random_images(1), labels()
    evidence = TagClip(candidate_level=0.0, crop_share=0.75)(backbone, pixels, texts)
    maps = plain_maps(model, pixels[0], probabilities(backbone, pixels, texts)[0])
    rivals = torch.cat([texts.labels, texts.empty[None]]).double()
    for text in range(3):
        level = (maps[text] - maps[text].min()) / (maps[text].max() - maps[text].min())
        inside = (level > 0.5).view(SIDE, SIDE)
        rows, columns = inside.nonzero().T
        top, bottom = int(rows.min()), int(rows.max()) + 1
        left, right = int(columns.min()), int(columns.max()) + 1
        part = pixels[..., PATCH * top : PATCH * bottom, PATCH * left : PATCH * right]
        crop = F.interpolate(part, (SIDE * PATCH,) * 2, mode="bilinear", align_corners=False)
        mask = inside[top:bottom, left:right].double()[None, None]
        allowed = F.interpolate(mask, (SIDE, SIDE), mode="nearest")[0, 0].flatten() > 0
        feature = plain_limited(model, crop[0], allowed)
        share = (backbone.logit_scale * F.normalize(feature, dim=-1) @ rivals.T).softmax(0)[text]
        best = maps[text].max()
        expected = 0.25 * best + 0.75 * share
        torch.testing.assert_close(
            evidence.patches[0, text].max().double(), expected, rtol=1e-5, atol=1e-6
        )


def plain_limited(model, image, allowed):
    """Image feature (D,) of a class token that attends to allowed patches (P,) in each block."""
    tokens = embed(model, image)
    for block in blocks_of(model):
        received = []
        for head in heads_of(block, block.ln_1(tokens)):
            logits = head["q"] @ head["k"].T / head["q"].shape[-1] ** 0.5
            logits[0, 1:] -= 1000.0 * ~allowed
            received.append(logits.softmax(dim=-1) @ head["v"])
        tokens = finish(block, tokens, received)
    return to_joint(model, tokens)[0]


@torch.no_grad()
def test_a_class_token_without_limits_is_the_model():
    backbone, pixels = double_backbone(double_model()), random_images()
    everywhere = torch.ones(2, COUNT, dtype=torch.bool)
    found = limited_image_features(backbone.tower, pixels, everywhere)
    expected = MaskClip().features(backbone.tower, pixels).image
    torch.testing.assert_close(found, expected)
    nowhere = limited_image_features(backbone.tower, pixels, ~everywhere)
    assert nowhere.isfinite().all()
    assert not torch.allclose(nowhere, expected)


@torch.no_grad()
def test_one_patch_one_row_and_a_constant_image_are_finite():
    backbone, texts = double_backbone(double_model()), labels(count=1)
    for rows, columns in ((1, 1), (1, 4), (4, 4)):
        constant = torch.full((1, 3, PATCH * rows, PATCH * columns), 0.3, dtype=torch.float64)
        evidence = TagClip()(backbone, constant, texts)
        assert evidence.patches.isfinite().all()


@pytest.mark.parametrize("setting", ["candidate_level", "crop_share"])
def test_settings_outside_of_their_range_are_refused(setting):
    with pytest.raises(InputError, match=setting):
        TagClip(**{setting: 1.5})
