"""Outliers by density, compared with loops over the patches of one image."""

import math

import pytest
import torch

from clip_surgery.surgery.density_outliers import find_sparse_patches, sparsity


def random_patches(batch=3, count=40, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, count, width, generator=generator, dtype=torch.float64)


def plain_scores(patches, neighbours):
    """The mean of r(p) / r(o) for the patches (P, E) of one image."""
    count = len(patches)
    nearest, radius = [], []
    for p in range(count):
        distances = sorted(
            (float((patches[p] - patches[o]).square().sum()), o) for o in range(count) if o != p
        )[:neighbours]
        nearest.append([o for _, o in distances])
        radius.append(distances[-1][0])
    return [sum(radius[p] / radius[o] for o in nearest[p]) / neighbours for p in range(count)]


@pytest.mark.parametrize("neighbours", [1, 5, 30, 39])
def test_scores_equal_loops_for_every_image_of_a_batch(neighbours):
    patches = random_patches()
    actual = sparsity(patches, neighbours)
    for image in range(3):
        expected = torch.tensor(plain_scores(patches[image], neighbours), dtype=torch.float64)
        torch.testing.assert_close(actual[image], expected)


@pytest.mark.parametrize("count", [5, 20, 40])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 1.0])
def test_outliers_are_the_patches_above_the_quantile(count, share):
    patches = random_patches(count=count)
    outliers = find_sparse_patches(patches, neighbours=4, share=share)
    for image in range(3):
        scores = sparsity(patches, 4)[image]
        threshold = torch.quantile(scores, 1 - share)
        assert torch.equal(outliers[image], scores > threshold + 1e-6 * threshold)
        wanted = math.ceil(round(share * (count - 1), 9))
        # Two patches that are each other's farthest ones have the same score and are left out.
        assert outliers[image].sum() == wanted if count > 5 else outliers[image].sum() <= wanted


def test_a_patch_far_from_all_others_is_found():
    patches = random_patches(count=25)
    patches[1, 7] += 50
    outliers = find_sparse_patches(patches, neighbours=5, share=0.04)
    assert outliers[1].nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_constant_image_has_no_outlier(dtype):
    patches = random_patches(count=1).expand(-1, 36, -1).to(dtype)
    assert not find_sparse_patches(patches).any()


@pytest.mark.parametrize("count", [1, 2, 3, 30, 31])
def test_fewer_patches_than_neighbours_have_an_answer(count):
    outliers = find_sparse_patches(random_patches(count=count), neighbours=30)
    assert outliers.shape == (3, count)
    assert (outliers.sum(dim=1) <= math.ceil(0.05 * (count - 1))).all()
