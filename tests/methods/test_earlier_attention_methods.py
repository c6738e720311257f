"""PEARL, and ITACLIP's attention of earlier blocks, compared with their equations per head."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError
from clip_surgery.methods.ita_clip import ItaClip
from clip_surgery.methods.pearl import Pearl
from clip_surgery.methods.registry import method_named
from clip_surgery.surgery.attention import key_key, query_query, summed
from clip_surgery.surgery.walk import walk_two_paths
from tests.methods.naive import (
    assert_same_map,
    blocks_of,
    double_backbone,
    double_model,
    embed,
    heads_of,
    labels,
    project_out,
    random_images,
    run,
    similarity,
    softmax_of,
    to_joint,
)
from tests.surgery.test_procrustes import plain_attention

LAYERS = 12


@pytest.mark.parametrize("key_weight", [0.0, 0.08])
@torch.no_grad()
def test_pearl_equals_the_equations(key_weight):
    model, pixels, texts = double_model(), random_images(), labels()
    evidence = Pearl(key_weight=key_weight)(double_backbone(model), pixels, texts)

    def received(head, normed):
        scale = head["q"].shape[-1] ** -0.5
        patches = plain_attention(head["q"], head["k"], head["v"], scale, 1, key_weight)
        return torch.cat([patches[:1], patches])  # the row of the class token is not used

    for row, image in enumerate(pixels):
        expected = similarity(
            model, image, texts, received, depth=1, residual=False, feed_forward=False
        )
        assert_same_map(evidence.patches[row], expected)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@torch.no_grad()
def test_ita_clip_equals_the_equations(share):
    model = double_model(visual={"layers": LAYERS})
    pixels, texts = random_images(), labels()
    evidence = ItaClip(middle_share=share)(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        tokens, sums = embed(model, image), {}
        for number, block in enumerate(blocks_of(model), start=1):
            last = tokens
            heads = heads_of(block, block.ln_1(tokens))
            sums[number] = [
                sum(
                    softmax_of(head[part], head[part], head["q"].shape[-1] ** -0.5) for part in "qk"
                )
                for head in heads
            ]
            tokens = run(block, tokens)
        received = [
            ((1 - share) * own + share * (sums[7][h] + sums[8][h] + sums[10][h]) / 3)
            @ heads[h]["v"]
            for h, own in enumerate(sums[LAYERS])
        ]
        output = last + project_out(blocks_of(model)[-1], torch.cat(received, dim=-1))
        features = F.normalize(to_joint(model, output)[1:], dim=-1)
        assert_same_map(evidence.patches[row], (features @ texts.labels.double().T).T)


@torch.no_grad()
def test_without_middle_blocks_ita_clip_is_sclip_without_feed_forward():
    backbone, pixels = double_backbone(double_model()), random_images()
    neutral = ItaClip(middle_share=0.0).features(backbone.tower, pixels)
    plain = walk_two_paths(
        backbone.tower, pixels, depth=1, rule=summed(query_query, key_key), feed_forward=False
    )
    torch.testing.assert_close(neutral.patches, plain.patches)


@torch.no_grad()
def test_in_a_tower_of_one_block_the_middle_blocks_are_this_block():
    backbone = double_backbone(double_model(visual={"layers": 1}))
    whole, none = (ItaClip(middle_share=share) for share in (1.0, 0.0))
    torch.testing.assert_close(
        whole.features(backbone.tower, random_images()).patches,
        none.features(backbone.tower, random_images()).patches,
    )


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("pearl", {"key_weight": -0.1}),
        ("pearl", {"key_weight": float("nan")}),
        ("pearl", {"steps": -1}),
        ("ita_clip", {"middle_share": 1.1}),
        ("ita_clip", {"middle_share": float("nan")}),
    ],
)
def test_settings_outside_of_their_range_are_refused(name, settings):
    with pytest.raises(InputError):
        method_named(name, **settings)
