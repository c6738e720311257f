"""RF-CLIP, compared with its equations in plain loops over the weights of a tiny ViT."""

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

import clip_surgery as cs
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.methods.registry import method_named
from clip_surgery.methods.rf_clip import RfClip
from clip_surgery.surgery.channel_outliers import (
    OPENAI_VIT_B_16,
    find_active_patches,
    mix_with_neighbours,
)
from clip_surgery.surgery.text_shift import text_clusters
from clip_surgery.testing import tiny_backbones
from clip_surgery.text.features import TextShift
from clip_surgery.windows import Windows, explain_windows
from tests.methods.naive import (
    SIDE,
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
    softmax_of,
    to_joint,
)

LAYERS, COUNT = 4, SIDE * SIDE


def active(patches, channels, factor):
    """Outliers, one patch and channel at a time; None finds the channels."""
    width = patches.shape[-1]
    shares = []
    for patch in patches.tolist():
        above = [value - min(patch) for value in patch]
        shares.append([value / sum(above) for value in above])
    high = {e: [p for p in range(COUNT) if shares[p][e] > factor / width] for e in range(width)}
    if channels is None:
        return {p for found in high.values() if len(found) <= 0.1 * COUNT for p in found}
    return {p for e in channels for p in high[e]}


def repaired(tokens, channels, factor, share, *, zero_border):
    patches, result = tokens[1:], tokens.clone()
    outliers = active(patches, channels, factor)
    for p in outliers:
        row, column = divmod(p, SIDE)
        near = [
            patches[r * SIDE + c]
            for r in range(max(0, row - 1), min(SIDE, row + 2))
            for c in range(max(0, column - 1), min(SIDE, column + 2))
        ]
        mean = sum(near) / (9 if zero_border else len(near))
        result[1 + p] = (1 - share) * patches[p] + share * mean
    return result, len(outliers)


def key_attention(block, tokens):
    """A(k, k) of each head, all tokens as keys, without the row and column of the class token."""
    heads = heads_of(block, block.ln_1(tokens))
    return [softmax_of(h["k"], h["k"], h["k"].shape[-1] ** -0.5)[1:, 1:] for h in heads]


def last_output(model, tokens, earlier):
    """O of the mean of A(k, k) over all blocks, on the values of the last block."""
    block = blocks_of(model)[-1]
    matrices = [*earlier, key_attention(block, tokens)]
    received = []
    for number, head in enumerate(heads_of(block, block.ln_1(tokens))):
        attention = sum(of_block[number] for of_block in matrices) / len(matrices)
        received.append(attention @ head["v"][1:])
    return project_out(block, torch.cat(received, dim=-1))


def plain(model, image, *, channels, factor, share=0.4, zero_border=False, divide=True):
    """Patch features and image feature of the repaired tokens, and the numbers of outliers."""
    tokens, outputs, attention, counts = embed(model, image), [], [], []
    blocks = blocks_of(model)
    for block in blocks:
        entered = tokens
        attention.append(key_attention(block, tokens))
        tokens, count = repaired(
            run(block, tokens), channels, factor, share, zero_border=zero_border
        )
        outputs.append(tokens)
        counts.append(count)
    guide = sum(outputs) / len(outputs)
    unit = F.normalize(guide[1:], dim=-1)
    weights = unit @ unit.T
    weights = weights * (weights >= 0.4)
    if divide:
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-6)
    inputs = (torch.cat([x[:1], weights @ x[1:]]) for x in (entered, guide))
    output = sum(last_output(model, tokens, attention[:-1]) for tokens in inputs) / 2
    return to_joint(model, output), to_joint(model, tokens)[0], counts


CASES = {  # the channels, the factor, and whether the border counts zeros
    "few channels": ("3 17 20", (3, 17, 20), 1.8, False),
    "zeros at the border": ("3 17 20", (3, 17, 20), 1.8, True),
    "found": ("found", None, 2.3, False),
}


@pytest.fixture(scope="module")
def model():
    return double_model(visual={"layers": LAYERS})


@pytest.mark.parametrize("name", CASES)
@torch.no_grad()
def test_equals_the_equations(model, name):
    text, channels, factor, zero_border = CASES[name]
    pixels, texts = random_images(), labels()
    method = RfClip(channels=text, factor=factor, zero_border=zero_border)
    backbone = double_backbone(model)
    features = method.features_for(backbone, pixels, texts)
    evidence = method(backbone, pixels, texts)
    own = method_named("similarity")(backbone, pixels, texts)
    torch.testing.assert_close(evidence.image, own.image)
    for row, image in enumerate(pixels):
        patches, refocused, counts = plain(
            model, image, channels=channels, factor=factor, zero_border=zero_border
        )
        assert 0 < sum(counts) < LAYERS * COUNT
        torch.testing.assert_close(features.patches[row], patches, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(features.refocused_image[row], refocused, rtol=1e-9, atol=1e-9)
        expected = F.normalize(patches, dim=-1) @ texts.labels.double().T
        assert_same_map(evidence.patches[row], expected.T)


@torch.no_grad()
def test_sums_instead_of_means_change_what_the_norm_removes(model):
    """The code smooths by sums of weights; the norm of the block leaves their scale out."""
    [image] = random_images(batch=1)
    means, sums = (
        plain(model, image, channels=None, factor=2.3, divide=divide)[0] for divide in (True, False)
    )
    assert_same_map(sums, means, tolerance=1e-4)


@torch.no_grad()
def test_without_outliers_the_image_features_are_equal(model):
    features = RfClip(factor=1000).features(double_backbone(model).tower, random_images())
    torch.testing.assert_close(features.refocused_image, features.image, rtol=0, atol=0)
    changed = RfClip(channels="0", factor=0).features(double_backbone(model).tower, random_images())
    torch.testing.assert_close(changed.image, features.image)
    assert not torch.allclose(changed.refocused_image, features.image)


@torch.no_grad()
def test_segmentation_compares_moved_texts_and_the_repaired_image(model):
    backbone, pixels, texts = double_backbone(model), random_images(), labels()
    settings = {"channels": "3 17 20", "factor": 1.8}
    whole = RfClip(global_share=1, **settings)
    features = whole.features_for(backbone, pixels, texts)
    expected = F.cosine_similarity(
        features.refocused_image[:, None], texts.labels.double()[None], dim=-1
    )
    similarity = whole(backbone, pixels, texts).similarity
    assert_same_map(similarity, expected[..., None].expand_as(similarity))
    moved = RfClip(text_shift=0.2, cut=0.9, global_share=0.1, **settings)
    shift = TextShift(share=0.2, cut=0.9, image_share=0.1, linkage="complete")
    by_hand = moved.scores_of_moved_texts(features, texts, shift, expected.float())
    evidence = moved(backbone, pixels, texts)
    torch.testing.assert_close(evidence.similarity, by_hand.mT, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(evidence.similarity, evidence.patches)


def test_complete_linkage_limits_the_largest_distance_in_a_cluster():
    """Texts on a circle: neighbours are 20 degrees apart, and a cluster spans 20 at most."""
    angles = [math.radians(20 * step) for step in range(4)]
    texts = torch.tensor([[math.cos(a), math.sin(a)] for a in angles])
    # The two ends are at a distance of 1 - cos(60 degrees), 0.5. That of the pairs by Ward is 0.42.
    clusters = text_clusters(texts, cut=0.45, linkage="complete")
    assert sorted(clusters) == [[0, 1], [2, 3]]
    assert text_clusters(texts, cut=0.45, linkage="ward") == [[0, 1, 2, 3]]
    assert text_clusters(texts, cut=0.501, linkage="complete") == [[0, 1, 2, 3]]
    with pytest.raises(UnknownNameError, match="linkage"):
        TextShift(share=0.1, cut=0.1, image_share=0, linkage="single")


def test_channels_that_many_patches_share_name_no_outlier():
    patches = torch.rand(1, 40, 32)
    patches[..., 5] = 50.0  # every patch
    patches[0, [3, 30], 9] = 40.0  # two patches of 40
    found = find_active_patches(patches)
    assert found.nonzero()[:, 1].tolist() == [3, 30]
    assert find_active_patches(patches, channels=(5,)).all()
    assert not find_active_patches(patches[:, :5]).any()  # a tenth of five patches is none
    assert not find_active_patches(torch.ones(2, 9, 16)).any()
    assert not find_active_patches(torch.ones(2, 9, 16), channels=(1,), factor=0).any()


@pytest.mark.parametrize("zero_border", [False, True])
def test_a_single_patch_is_its_own_neighbourhood(zero_border):
    patch = torch.randn(1, 1, 8)
    mixed = mix_with_neighbours(
        patch,
        torch.ones(1, 1, dtype=torch.bool),
        PatchGrid(rows=1, columns=1),
        zero_border=zero_border,
    )
    torch.testing.assert_close(mixed, patch * (0.6 + 0.4 / 9) if zero_border else patch)


def test_the_published_channels_are_those_of_one_model():
    published, found = OPENAI_VIT_B_16, None
    for name, expected in {
        "open_clip:ViT-B-16/openai": published,
        "open_clip:ViT-B-16-quickgelu/openai": published,
        "hugging_face:openai/clip-vit-base-patch16": published,
        "open_clip:ViT-B-16/laion2b_s34b_b88k": found,
        "open_clip:ViT-L-14/openai": found,
        "hf-hub:someone/clip-vit-base-patch16": found,
        "demo": found,
    }.items():
        assert RfClip()._channels_for(name) == expected, name
    assert RfClip(channels="published")._channels_for("demo") == published
    assert RfClip(channels="250 4")._channels_for("demo") == (250, 4)


@torch.no_grad()
def test_the_name_of_the_model_decides(model):
    """The tiny tower is narrower than the published channels, which the error says."""
    backbone = replace(double_backbone(model), name="open_clip:ViT-B-16/openai")
    with pytest.raises(InputError, match=r"channels below .* the width of the tower, but got 713"):
        RfClip()(backbone, random_images(), labels())


def test_a_tower_of_one_block_is_refused_with_alternatives():
    [backbone] = tiny_backbones(["open_clip_resnet"]).values()
    with pytest.raises(UnsupportedModelError, match=r"rf_clip needs a second-last block.*naclip"):
        RfClip().check(backbone)


@pytest.mark.parametrize(
    "settings",
    [
        {"channels": "most"},
        {"channels": ""},
        {"channels": "3, 4"},
        {"channels": "-1"},
        {"channels": 3},
        {"channels": "9" * 5000},
        {"channels": "٣"},
        {"factor": -1},
        {"factor": math.nan},
        {"fill_share": 1.1},
        {"threshold": -0.1},
        {"cut": -1},
        {"text_shift": 2},
    ],
)
def test_bad_settings(settings):
    with pytest.raises(InputError):
        RfClip(**settings)


def test_outputs_of_windows_are_stitched_with_the_repaired_image_feature():
    explainer = cs.load("demo", method="rf_clip(global_share=1)", cache=False)
    pixels = torch.rand(96, 144, 3, generator=torch.Generator().manual_seed(0))
    image = (255 * pixels).byte().numpy()
    texts = explainer.encode(["cat", "dog"])
    windows = Windows(crop=96, stride=48, stitch="outputs")
    explanation = explain_windows(explainer, image, texts, windows=windows)
    [similarity] = explanation.similarity
    of_each_text = similarity[:, 0, 0]  # the cosine of the image, the same for all patches
    torch.testing.assert_close(similarity, of_each_text[:, None, None].expand_as(similarity))
    assert of_each_text[0] != of_each_text[1]
