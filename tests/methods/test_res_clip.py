"""ResCLIP, compared with its equations per head, and its feedback of texts."""

import math

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.export.traced_tower import require_dense
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.registry import method_named
from clip_surgery.methods.res_clip import ResClip
from clip_surgery.surgery.attention import neighbourhood, summed
from clip_surgery.surgery.walk import walk_two_paths
from tests.methods.naive import (
    SIDE,
    assert_same_map,
    attentions_of,
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
from tests.surgery.test_class_feedback import plain_feedback

COUNT = SIDE * SIDE


def nearness():
    """NACLIP's Gaussian, 0 for the class token."""
    bump = torch.zeros(COUNT + 1, COUNT + 1, dtype=torch.float64)
    for i in range(COUNT):
        for j in range(COUNT):
            down, across = i // SIDE - j // SIDE, i % SIDE - j % SIDE
            bump[i + 1, j + 1] = math.exp(-(down**2 + across**2) / 50)
    return bump


def plain_similarity(model, image, texts, bias, key_factor, share):
    """Cosines (C, P) of one pass whose attention has this bias (N, N) besides the keys."""
    tokens, middle = embed(model, image), []
    for number, block in enumerate(blocks_of(model), start=1):
        last, heads = tokens, heads_of(block, block.ln_1(tokens))
        if number in (6, 7, 8, 9):
            middle.append(attentions_of(heads))
        tokens = run(block, tokens)
    received = []
    for index, head in enumerate(heads):
        logits = key_factor * head["k"] @ head["k"].T / math.sqrt(head["k"].shape[-1])
        own = (logits + bias).softmax(dim=-1)
        residual = sum(attentions[index] for attentions in middle) / 4
        received.append(2 * ((1 - share) * own + share * residual) @ head["v"])
    assert last.shape == tokens.shape
    output = project_out(blocks_of(model)[-1], torch.cat(received, dim=-1))
    features = F.normalize(to_joint(model, output)[1:], dim=-1)
    return (features @ texts.labels.double().T).T


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("threshold", [0.0, 0.6])
@torch.no_grad()
def test_res_clip_equals_the_equations(variant, threshold):
    model = double_model(visual={"layers": 12})
    pixels, texts = random_images(), labels()
    method = ResClip(variant=variant, feedback_threshold=threshold)
    evidence = method(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        first = plain_similarity(model, image, texts, nearness(), 1.0, 0.3)
        probability = (40 * first).softmax(dim=0)
        classes = []
        for patch in range(COUNT):
            best = int(probability[:, patch].argmax())
            none = 0 if variant == "released" else -1 - patch
            classes.append(best if probability[best, patch] >= threshold else none)
        feedback = torch.zeros(COUNT + 1, COUNT + 1, dtype=torch.float64)
        feedback[1:, 1:] = plain_feedback(
            torch.tensor(classes), PatchGrid(rows=SIDE, columns=SIDE), 5.0, variant
        )
        bias = 2.1 * 0.7 * feedback + nearness()
        expected = plain_similarity(model, image, texts, bias, 2.1 * 0.3, 0.3)
        assert_same_map(evidence.patches[row], expected)


@torch.no_grad()
def test_without_middle_blocks_and_feedback_it_is_naclip_with_doubled_attention():
    backbone, pixels = double_backbone(double_model()), random_images()
    method = ResClip(middle_share=0.0, feedback_share=0.0)
    neutral = method.features_for(backbone, pixels, labels())
    doubled = walk_two_paths(
        backbone.tower,
        pixels,
        depth=1,
        rule=summed(neighbourhood(5.0), neighbourhood(5.0)),
        residual=False,
    )
    torch.testing.assert_close(neutral.patches, doubled.patches)
    torch.testing.assert_close(neutral.image, doubled.image)


@torch.no_grad()
def test_the_features_depend_on_the_texts_and_those_of_the_first_pass_do_not():
    backbone, pixels = double_backbone(double_model()), random_images()
    first, second = (
        ResClip().features_for(backbone, pixels, labels(seed=seed)).patches for seed in (1, 2)
    )
    assert not torch.allclose(first, second)
    alone = ResClip(feedback_share=0.0).features_for(backbone, pixels, labels()).patches
    torch.testing.assert_close(ResClip().features(backbone.tower, pixels).patches, alone)


def test_it_cannot_be_exported_without_its_texts():
    with pytest.raises(InputError, match="without texts") as caught:
        require_dense(ResClip())
    known = str(caught.value)
    assert "naclip" in known
    assert "res_clip," not in known.partition("but got")[0]


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"middle_share": 1.5}, InputError),
        ({"feedback_share": -0.1}, InputError),
        ({"feedback_threshold": float("nan")}, InputError),
        ({"sharpness": 0.0}, InputError),
        ({"logit_scale": float("inf")}, InputError),
        ({"std": 0.0}, InputError),
        ({"variant": "code"}, UnknownNameError),
    ],
)
def test_settings_outside_of_their_range_are_refused(settings, error):
    with pytest.raises(error):
        method_named("res_clip", **settings)
