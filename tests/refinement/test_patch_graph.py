"""Propagation on a graph of patches, compared with a dense system built patch by patch."""

import math

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.grid import PatchGrid
from clip_surgery.refinement import patch_graph
from clip_surgery.refinement.patch_graph import propagate

GRID = PatchGrid(rows=3, columns=4)


def numbers(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


SCORES, FEATURES = numbers(2, 3, 12), numbers(2, 12, 5, seed=1)


def plain_graph(features, neighbours):
    unit = F.normalize(features, dim=-1)
    weights = torch.zeros(12, 12, dtype=torch.float64)
    for i in range(12):
        order = sorted(range(12), key=lambda j, i=i: -float(unit[i] @ unit[j]))
        for j in order[:neighbours]:
            distance = 8 * math.dist((i // 4, i % 4), (j // 4, j % 4))
            weights[i, j] = max(0.0, float(unit[i] @ unit[j])) ** 3 * math.exp(-0.01 * distance)
    weights = weights + weights.T
    weights.fill_diagonal_(0)
    root = weights.sum(1).rsqrt().nan_to_num(posinf=0.0)
    return root[:, None] * weights * root


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("neighbours", [4, 400])
def test_the_exact_solution_equals_a_plain_system(neighbours, sparse, monkeypatch):
    monkeypatch.setattr(patch_graph, "DENSE_PATCHES", 2 if sparse else 2048)
    found = propagate(
        SCORES, FEATURES, GRID, patch_size=8, neighbours=neighbours, spread=0.8, steps=60
    )
    for image in range(2):
        system = torch.eye(12).double() - 0.8 * plain_graph(FEATURES[image], neighbours)
        expected = torch.linalg.solve(system, SCORES[image].T).T
        torch.testing.assert_close(found[image], expected, rtol=1e-5, atol=1e-7)


def test_without_spread_the_scores_are_unchanged():
    assert torch.equal(propagate(SCORES, FEATURES, GRID, patch_size=8, spread=0.0), SCORES)


def test_one_patch_equal_patches_and_opposite_patches_are_finite():
    one = propagate(numbers(1, 2, 1), numbers(1, 1, 5), PatchGrid(rows=1, columns=1), patch_size=8)
    torch.testing.assert_close(one, numbers(1, 2, 1))  # it has no neighbour
    equal = propagate(SCORES, torch.ones(2, 12, 5), GRID, patch_size=8)
    assert equal.isfinite().all()
    zero = propagate(SCORES, torch.zeros(2, 12, 5), GRID, patch_size=8)
    torch.testing.assert_close(zero, SCORES)
    half = propagate(SCORES.to(torch.bfloat16), FEATURES.to(torch.bfloat16), GRID, patch_size=8)
    assert half.dtype == torch.bfloat16
    assert half.isfinite().all()
