"""Affinities of patches and their kernels, compared with loops over pairs of patches."""

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from clip_surgery.surgery.affinity import (
    centred_softmax,
    cut_below,
    patch_cosines,
    smooth,
    weighted_by,
)
from clip_surgery.surgery.attention import identity
from tests.surgery.test_attention import heads


def random_patches(batch=2, count=7, width=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, count, width, generator=generator, dtype=torch.float64)


def test_cosines_are_those_of_pairs():
    patches = random_patches()
    actual = patch_cosines(patches)
    for image in range(2):
        for i in range(7):
            for j in range(7):
                expected = cosine_similarity(patches[image, i], patches[image, j], dim=0)
                torch.testing.assert_close(actual[image, i, j], expected)


@pytest.mark.parametrize("centring", [0.5, 1.0, 1.2])
def test_the_centred_softmax_equals_loops(centring):
    affinity = patch_cosines(random_patches())
    actual = centred_softmax(affinity, centring=centring, sharpness=3.0)
    for image in range(2):
        mean = sum(affinity[image].flatten().tolist()) / 49
        for i in range(7):
            weights = []
            for j in range(7):
                logit = 3.0 * (float(affinity[image, i, j]) - centring * mean)
                weights.append(math.exp(logit) if logit >= 0 or i == j else 0.0)
            expected = torch.tensor(weights, dtype=torch.float64) / sum(weights)
            torch.testing.assert_close(actual[image, i], expected)


@pytest.mark.parametrize("centring", [1.0, 1.2, 10.0])
@pytest.mark.parametrize("count", [1, 6])
def test_equal_patches_have_finite_weights_that_sum_to_one(count, centring):
    weights = centred_softmax(patch_cosines(torch.ones(2, count, 4)), centring=centring)
    assert torch.isfinite(weights).all()
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, count))


def test_smoothing_equals_loops():
    patches = random_patches()
    affinity = cut_below(patch_cosines(patches), 0.2)
    actual = smooth(patches, affinity)
    for image in range(2):
        for i in range(7):
            row = [s if s >= 0.2 else 0.0 for s in patch_cosines(patches)[image, i].tolist()]
            total = sum(row) + 1e-6
            expected = sum(w / total * patches[image, j] for j, w in enumerate(row))
            torch.testing.assert_close(actual[image, i], expected)


def test_a_threshold_that_only_the_patch_itself_reaches_smooths_nothing():
    patches = random_patches()
    torch.testing.assert_close(
        smooth(patches, cut_below(patch_cosines(patches), 0.9999)), patches, rtol=1e-5, atol=1e-5
    )


def test_a_zero_patch_has_no_affinity_and_remains_zero():
    patches = random_patches()
    patches[0, 3] = 0
    affinity = cut_below(patch_cosines(patches), 0.4)
    assert affinity[0, 3].abs().max() == 0
    assert smooth(patches, affinity)[0, 3].abs().max() == 0


@pytest.mark.parametrize("prefix", [0, 1])
def test_weighted_values(prefix):
    given = heads(prefix=prefix)
    count = given.grid.patches
    torch.testing.assert_close(
        weighted_by(torch.eye(count).expand(2, -1, -1))(given), identity(given)
    )
    weights = torch.rand(2, count, count)
    received = weighted_by(weights)(given)
    expected = weights[1] @ given.value[1, 2, prefix:]
    torch.testing.assert_close(received[1, 2], expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_compared_in_float32(dtype):
    patches = random_patches().to(dtype)
    assert patch_cosines(patches).dtype == torch.float32
    assert smooth(patches, patch_cosines(patches)).dtype == dtype
