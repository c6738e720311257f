"""SC-CLIP and SFP, compared with their equations in plain loops over the weights of a tiny ViT."""

import math

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.methods.registry import method_named
from clip_surgery.methods.sc_clip import ScClip
from clip_surgery.methods.sfp import Sfp
from clip_surgery.surgery.attention import identity
from clip_surgery.surgery.walk import walk_two_paths
from clip_surgery.testing import check_method, tiny_backbones
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
    softmax_of,
    to_joint,
)

LAYERS, COUNT = 8, SIDE * SIDE
MIDDLE, LOW, LEVELS = 6, 2, range(3, 7)  # of 8 blocks


def sharp_affinity(cosines):
    """C: the softmax of 3 (S - mean S) where that is not negative."""
    mean = sum(cosines.flatten().tolist()) / COUNT**2
    rows = []
    for i in range(COUNT):
        logits = [3 * (float(cosines[i, j]) - mean) for j in range(COUNT)]
        weights = [math.exp(x) if x >= 0 or i == j else 0.0 for j, x in enumerate(logits)]
        rows.append([w / sum(weights) for w in weights])
    return torch.tensor(rows, dtype=torch.float64)


def cosines_of(patches):
    unit = F.normalize(patches, dim=-1)
    return unit @ unit.T


def cut(cosines):
    return cosines * (cosines >= 0.4)


def smoothed(patches, cosines):
    weights = cut(cosines)
    return weights @ patches / (weights.sum(dim=-1, keepdim=True) + 1e-6)


def filled(patches, outliers, *, zero=False):
    result = patches.clone()
    for i in outliers:
        row, column = divmod(i, SIDE)
        sound = [
            r * SIDE + c
            for r in range(max(0, row - 1), min(SIDE, row + 2))
            for c in range(max(0, column - 1), min(SIDE, column + 2))
            if r * SIDE + c not in outliers
        ]
        if sound:
            result[i] = sum(patches[j] for j in sound) / len(sound)
        elif zero:
            result[i] = 0
    return result


def sparse(patches, neighbours, share):
    """Outliers of SC-CLIP: patches above the quantile of the density score."""
    near, radius = [], []
    for p in range(COUNT):
        ordered = sorted(
            (float((patches[p] - patches[o]).square().sum()), o) for o in range(COUNT) if o != p
        )[:neighbours]
        near.append([o for _, o in ordered])
        radius.append(ordered[-1][0])
    scores = [sum(radius[p] / radius[o] for o in near[p]) / neighbours for p in range(COUNT)]
    limit = torch.quantile(torch.tensor(scores, dtype=torch.float64), 1 - share)
    return [p for p in range(COUNT) if scores[p] > limit]


def favourites(model, tokens, gain, limit):
    """Outliers of SFP: patches that get more from the class token than from themselves."""
    block = blocks_of(model)[-2]
    attention = sum(attentions_of(heads_of(block, block.ln_1(tokens)))) / 2
    candidates = [
        (float(attention[0, 1 + i]), i)
        for i in range(COUNT)
        if gain * attention[0, 1 + i] > attention[1 + i, 1 + i]
    ]
    return [i for _, i in sorted(candidates, reverse=True)[:limit]]


def attended(model, patches, pairs, affinity):
    """O of the mean of the affinity and of self-self attentions of the last block on patches."""
    block = blocks_of(model)[-1]
    received = []
    for head in heads_of(block, block.ln_1(patches)):
        scale = head["k"].shape[-1] ** -0.5
        matrices = [affinity, *(softmax_of(head[p], head[p], scale) for p in pairs)]
        received.append(sum(matrices) / len(matrices) @ head["v"])
    return project_out(block, torch.cat(received, dim=-1))


def plain_map(model, image, texts, find, *, pairs, level_pairs, cut_affinity, zero=False, w=0.3):
    tokens = [embed(model, image)]
    for block in blocks_of(model):
        tokens.append(run(block, tokens[-1]))
    outliers = find(tokens)
    assert 0 < len(outliers) < COUNT
    middle = cosines_of(filled(tokens[MIDDLE][1:], outliers, zero=zero))
    affinity = sharp_affinity(cut(middle) if cut_affinity else middle)
    last, levels = tokens[-2], sum(tokens[number] for number in LEVELS)
    patches = smoothed(filled(last[1:], outliers, zero=zero), middle)
    first = attended(model, patches, pairs, affinity) + w * last[0]
    second = attended(model, levels[1:], level_pairs, affinity) + w * levels[0]
    low = cosines_of(tokens[LOW][1:])
    output = smoothed(first, low) + smoothed(second, low)
    features = F.normalize(to_joint(model, output), dim=-1)
    return (features @ texts.labels.double().T).T


@pytest.mark.parametrize(("neighbours", "share"), [(12, 0.1), (4, 0.3)])
@torch.no_grad()
def test_sc_clip_equals_the_equations(neighbours, share):
    model, pixels, texts = double_model(visual={"layers": LAYERS}), random_images(), labels()
    method = ScClip(neighbours=neighbours, outlier_share=share)
    evidence = method(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        expected = plain_map(
            model,
            image,
            texts,
            lambda tokens: sparse(tokens[-2][1:], min(neighbours, COUNT - 1), share),
            pairs="k",
            level_pairs="k",
            cut_affinity=False,
        )
        assert_same_map(evidence.patches[row], expected)


@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("level_attention", ["affinity", "all"])
@torch.no_grad()
def test_sfp_equals_the_equations(variant, level_attention):
    model, pixels, texts = double_model(visual={"layers": LAYERS}), random_images(), labels()
    method = Sfp(variant=variant, level_attention=level_attention, outliers=15, class_gain=3)
    evidence = method(double_backbone(model), pixels, texts)
    for row, image in enumerate(pixels):
        expected = plain_map(
            model,
            image,
            texts,
            lambda tokens: favourites(model, tokens[-3], 3, 15),
            pairs="kq",
            level_pairs="kq" if level_attention == "all" else "",
            cut_affinity=True,
            zero=variant == "released",
        )
        assert_same_map(evidence.patches[row], expected)


@torch.no_grad()
def test_sfp_variants_differ_where_an_outlier_has_no_sound_neighbour():
    backbone, pixels = double_backbone(double_model()), random_images()
    settings = {"outliers": 16, "class_gain": 100.0}  # all patches are outliers
    paper, released = (Sfp(variant=v, **settings) for v in ("paper", "released"))
    kept, zero = (m.features(backbone.tower, pixels).patches for m in (paper, released))
    assert torch.isfinite(zero).all()
    assert not torch.allclose(kept, zero)


@torch.no_grad()
def test_without_smoothing_and_with_the_affinity_of_a_patch_with_itself_it_is_bare_maskclip():
    """A sharp affinity is the identity, so that half of the output is the value of the patch."""
    backbone, pixels = double_backbone(double_model()), random_images()
    neutral = Sfp(
        threshold=1 - 1e-6, sharpness=1e6, class_weight=0, outliers=0, levels=False
    ).features(backbone.tower, pixels)
    only_keys = walk_two_paths(
        backbone.tower,
        pixels,
        depth=1,
        residual=False,
        rule=_mean_of_three,
    )
    torch.testing.assert_close(neutral.patches, only_keys.patches, rtol=1e-4, atol=1e-4)


def _mean_of_three(heads):
    """The mean of the values and of the self-self attentions of patches alone."""
    received = identity(heads)
    for part in (heads.query[:, :, 1:], heads.key[:, :, 1:]):
        received = received + (heads.scale * part @ part.mT).softmax(-1) @ heads.value[:, :, 1:]
    return received / 3


@pytest.mark.parametrize("name", ["sc_clip", "sfp"])
@torch.no_grad()
def test_constant_images_and_one_row_of_patches_have_finite_features(name):
    backbone, method = wrap_backbone(double_model()), method_named(name)
    for height, width in ((8, 8), (8, 64), (64, 8), (32, 32)):
        pixels = torch.full((2, 3, height, width), 0.5, dtype=torch.float64)
        assert torch.isfinite(method.features(backbone.tower, pixels).patches).all()


def test_sc_clip_needs_no_class_token_and_one_block_suffices():
    names = ["timm_siglip", "open_clip_resnet", "open_clip_coca", "timm_vitamin"]
    check_method("sc_clip", tiny_backbones(names), contracts=["shapes", "batch"])
    one_block = {"one block": double_backbone(double_model(visual={"layers": 1}).float())}
    check_method("sc_clip", one_block, contracts=["shapes", "batch"])


@pytest.mark.parametrize("name", ["timm_siglip", "open_clip_resnet"])
def test_sfp_refuses_towers_without_class_token_or_second_block(name):
    backbone = tiny_backbones([name])[name]
    side = 2 * backbone.tower.patch_size
    with pytest.raises(UnsupportedModelError, match=r"class token|second-last block"):
        Sfp()(backbone, torch.zeros(1, 3, side, side), labels(width=24))
    with pytest.raises(UnsupportedModelError, match=r"class token|second-last block"):
        Sfp().features(backbone.tower, torch.zeros(1, 3, side, side))


@pytest.mark.parametrize(
    ("name", "settings", "error"),
    [
        ("sc_clip", {"threshold": 1.5}, InputError),
        ("sc_clip", {"threshold": float("nan")}, InputError),
        ("sc_clip", {"sharpness": 0.0}, InputError),
        ("sc_clip", {"class_weight": -0.1}, InputError),
        ("sc_clip", {"neighbours": 0}, InputError),
        ("sc_clip", {"outlier_share": 2.0}, InputError),
        ("sfp", {"threshold": -1.0}, InputError),
        ("sfp", {"sharpness": float("inf")}, InputError),
        ("sfp", {"class_gain": -1.0}, InputError),
        ("sfp", {"outliers": -1}, InputError),
        ("sfp", {"level_attention": "none"}, UnknownNameError),
        ("sfp", {"variant": "code"}, UnknownNameError),
    ],
)
def test_settings_outside_of_their_range_are_refused(name, settings, error):
    with pytest.raises(error):
        method_named(name, **settings)
