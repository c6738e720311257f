"""CASS, compared with dense decompositions in float64, and its neutral settings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from clip_surgery.backbones.companion_loading import load_companion
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.methods.cass import Cass
from clip_surgery.methods.registry import method_named
from clip_surgery.surgery.spectral_graphs import joined_graphs
from clip_surgery.surgery.text_shift import shifted_texts, text_clusters
from clip_surgery.testing.tiny_models.companions import tiny_companion
from tests.methods.naive import double_backbone, double_model, labels, random_images

PATCHES, HEADS, WIDTH = 16, 3, 5


def unit_range(values):
    return (values - values.min()) / (values.max() - values.min())


def into_range(values, target):
    return unit_range(values) * (target.max() - target.min()) + target.min()


def plain_graphs(keys, others, scale, weight, variant):
    """The equations on whole P x P matrices."""
    others = into_range(others, keys)
    own = [scale * key @ key.T for key in keys]
    companion = [scale * key @ key.T for key in others]

    def spectrum(graph):
        values = torch.linalg.eigvalsh(graph).flip(0)
        values = F.pad(values[:20], (0, max(0, 20 - len(values))))
        return F.normalize(F.normalize(values, dim=0), p=1, dim=0)

    distance = torch.tensor(
        [[float((spectrum(c) - spectrum(o)).abs().sum()) for o in own] for c in companion]
    )
    rows, columns = linear_sum_assignment(1 - distance.numpy())
    joined = [None] * len(own)
    for row, column in zip(rows, columns, strict=True):
        head, partner = (row, column) if variant == "released" else (column, row)
        left, values, right = torch.linalg.svd(companion[partner])
        if variant == "released":
            rank = 10
        else:
            share = values.cumsum(0) / values.sum()
            rank = next(i for i in range(len(share)) if share[i] >= 0.95) + 1
        values = values[:rank]
        low, high = values.min(), values.max()
        values = (values - low) / (high - low) * (1.5 * high - 0.5 * low) + 0.5 * low
        graph = left[:, :rank] @ torch.diag(values) @ right[:rank]
        graph.fill_diagonal_(0)
        w = weight * float(distance[row, column])
        joined[head] = (w * into_range(graph, own[head]) + own[head]) / (w + 1)
    return torch.stack(joined)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_joined_graphs_equal_whole_matrices(variant):
    generator = torch.Generator().manual_seed(3)
    keys = torch.randn(HEADS, PATCHES, 12, generator=generator, dtype=torch.float64)
    others = torch.randn(HEADS, PATCHES, 12, generator=generator, dtype=torch.float64)
    others *= torch.tensor([1.0, 3.0, 0.3]).view(3, 1, 1)
    actual = joined_graphs(keys, others, scale=0.4, variant=variant)
    expected = plain_graphs(keys, others, 0.4, 10.0, variant)
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def test_equal_sums_of_distances_give_the_pairing_of_near_heads():
    """Heads with equal spectra: every pairing has the same sum, and rounding must not choose."""
    keys = torch.randn(1, PATCHES, WIDTH).repeat(4, 1, 1)
    others = torch.randn(1, PATCHES, WIDTH).repeat(4, 1, 1)
    others[1] = others[1, torch.randperm(PATCHES)]  # the same spectrum, another graph
    expected = joined_graphs(keys, others, scale=1.0)
    for _ in range(3):
        noisy = keys * (1 + 1e-6 * torch.randn_like(keys))
        actual = joined_graphs(noisy, others, scale=1.0)
        torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-3)


def test_the_variants_pair_heads_differently():
    keys = torch.randn(HEADS, PATCHES, WIDTH) * torch.tensor([1.0, 4.0, 0.2]).view(3, 1, 1)
    others = torch.randn(HEADS, PATCHES, WIDTH) + torch.arange(3).view(3, 1, 1)
    both = [joined_graphs(keys, others, scale=1.0, variant=v) for v in ("paper", "released")]
    assert not torch.allclose(*both)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_heads_of_the_companion(count):
    keys, others = torch.randn(HEADS, 9, WIDTH), torch.randn(count, 9, 4)
    for variant in ("paper", "released"):
        assert joined_graphs(keys, others, scale=1.0, variant=variant).shape == (HEADS, 9, 9)


@pytest.mark.parametrize("keys", [torch.ones(2, 6, 3), torch.zeros(2, 6, 3), torch.randn(2, 1, 3)])
def test_constant_keys_and_one_patch_are_finite(keys):
    assert joined_graphs(keys, keys, scale=1.0).isfinite().all()


@torch.no_grad()
def test_without_weight_the_attention_is_that_of_naclip():
    model = double_model()
    backbone = double_backbone(model)
    backbone = replace(backbone, companion=load_companion(tiny_companion("dino").double()))
    images, texts = random_images(), labels()
    evidence = Cass(weight=0, text_shift=0, global_share=0)(backbone, images, texts)
    # NACLIP's patches attend to the class token too; here its bias is the same for patches alone.
    keys_of_patches = method_named("cass", weight=0).features_for(backbone, images, texts)
    expected = naclip_without_class_token(backbone, images)
    torch.testing.assert_close(keys_of_patches.patches, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(evidence.similarity, evidence.patches, rtol=1e-5, atol=1e-6)


def naclip_without_class_token(backbone, images):
    from clip_surgery.surgery.attention import neighbourhood
    from clip_surgery.surgery.last_block import enter_last_block

    last = enter_last_block(backbone.tower, images)
    return last.tower.project(last.attend(last.tokens, neighbourhood(5.0)))


@torch.no_grad()
def test_the_image_is_mixed_into_the_similarity():
    backbone = double_backbone(double_model())
    backbone = replace(backbone, companion=load_companion(tiny_companion("dino").double()))
    images, texts = random_images(), labels()
    whole = Cass(global_share=1.0)(backbone, images, texts)
    expected = whole.image[..., None].expand_as(whole.similarity)
    torch.testing.assert_close(whole.similarity, expected)


def test_the_likeliest_text_of_a_cluster_moves_to_its_two_best_patches():
    texts = F.normalize(torch.tensor([[1.0, 0.0, 0.1], [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]]), dim=-1)
    clusters = text_clusters(texts, cut=0.1)
    assert sorted(map(tuple, clusters)) == [(0, 1), (2,)]
    patches = torch.randn(2, 5, 3)
    image = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.1, 0.0]])
    moved = shifted_texts(patches, texts, image, clusters, share=0.3)
    for index, chosen in ((0, (1, 2)), (1, (0, 2))):
        for text in range(3):
            if text not in chosen:
                torch.testing.assert_close(moved[index, text], texts[text])
                continue
            unit = F.normalize(patches[index], dim=-1)
            best = sorted(range(5), key=lambda p: float(unit[p] @ texts[text]))[-2:]
            near = F.normalize(unit[best].mean(dim=0), dim=0)
            expected = F.normalize(0.7 * texts[text] + 0.3 * near, dim=0)
            torch.testing.assert_close(moved[index, text], expected)
    assert text_clusters(texts[:1], cut=0.1) == [[0]]
    assert np.allclose(
        shifted_texts(patches, texts, image, clusters, share=0), texts.expand(2, 3, 3)
    )


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"variant": "code"}, UnknownNameError),
        ({"text_shift": 2}, InputError),
        ({"global_share": -1}, InputError),
        ({"weight": -1}, InputError),
        ({"kept": 0}, InputError),
        ({"std": 0}, InputError),
    ],
)
def test_bad_settings(settings, error):
    with pytest.raises(error):
        Cass(**settings)
