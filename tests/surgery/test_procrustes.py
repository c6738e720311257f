"""Procrustes attention and its rotation, compared with loops and with singular values."""

from dataclasses import replace

import pytest
import torch

from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import identity, query_key
from clip_surgery.surgery.procrustes import polar_factor, procrustes
from tests.surgery.test_attention import Largest, heads

GRID = PatchGrid(rows=3, columns=4)


def random_matrix(size=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, size, size, generator=generator, dtype=torch.float64)


def test_many_steps_give_the_orthogonal_factor_of_the_singular_value_decomposition():
    matrix = random_matrix()
    left, _, right = torch.linalg.svd(matrix)
    torch.testing.assert_close(polar_factor(matrix, 60), left @ right)


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_every_step_acts_on_singular_values_alone(steps):
    matrix = random_matrix()
    left, values, right = torch.linalg.svd(matrix)
    values = values / values.square().sum(dim=-1, keepdim=True).sqrt()
    for _ in range(steps):
        values = 1.5 * values - 0.5 * values**3
    torch.testing.assert_close(polar_factor(matrix, steps), left @ torch.diag_embed(values) @ right)


def test_a_zero_matrix_stays_zero():
    assert torch.equal(polar_factor(torch.zeros(2, 3, 3)), torch.zeros(2, 3, 3))


def plain_attention(query, key, value, scale, prefix, key_weight):
    """The attention output of the patches of one head of one image."""
    weights = [0.0] * prefix + [float(q.norm()) for q in query[prefix:]]
    mean_query = sum(w * q for w, q in zip(weights, query, strict=True)) / sum(weights)
    mean_key = sum(w * k for w, k in zip(weights, key, strict=True)) / sum(weights)
    centred_query, centred_key = query - mean_query, key - mean_key
    rotation = centred_key.T @ centred_query
    rotation = rotation / rotation.square().sum().sqrt()
    for _ in range(5):
        rotation = 1.5 * rotation - 0.5 * rotation @ rotation.T @ rotation
    rows = []
    for i in range(prefix, len(query)):
        logits = [
            scale * query[i] @ (key[j] @ rotation)
            + key_weight * scale * centred_key[i] @ centred_key[j]
            for j in range(len(key))
        ]
        rows.append(torch.stack(logits).softmax(dim=0) @ value)
    return torch.stack(rows)


@pytest.mark.parametrize("prefix", [0, 1, 3])
@pytest.mark.parametrize("key_weight", [0.0, 0.08, 2.0])
def test_the_rule_equals_loops(prefix, key_weight):
    single = heads(prefix=prefix, grid=GRID)
    given = replace(
        single,
        query=single.query.double(),
        key=single.key.double(),
        value=single.value.double(),
    )
    received = procrustes(key_weight)(given)
    for image in range(2):
        for head in range(3):
            expected = plain_attention(
                *(part[image, head] for part in (given.query, given.key, given.value)),
                given.scale,
                prefix,
                key_weight,
            )
            torch.testing.assert_close(received[image, head], expected)


def test_queries_that_are_rotated_keys_are_rotated_back():
    """With all steps, attention is that of queries with themselves."""
    given = heads(prefix=0, grid=GRID)
    rotation, _ = torch.linalg.qr(torch.randn(8, 8))
    given.key.copy_(given.query @ rotation)
    received = procrustes(0.0, steps=60)(given)
    given.key.copy_(given.query)
    torch.testing.assert_close(received, query_key(given), rtol=1e-3, atol=1e-4)


def test_no_attention_matrix_is_stored():
    given = heads()
    with torch.no_grad(), Largest() as seen:
        procrustes(0.08)(given)
    tokens = given.query.shape[2]
    assert seen.elements < 6 * tokens * tokens / 3


@pytest.mark.parametrize("prefix", [0, 1])
def test_one_patch_and_equal_tokens_have_finite_output(prefix):
    alone = heads(prefix=prefix, grid=PatchGrid(rows=1, columns=1))
    assert torch.isfinite(procrustes(0.08)(alone)).all()
    alike = heads(prefix=prefix, grid=GRID)
    for part in (alike.query, alike.key, alike.value):
        part.copy_(part[:, :, :1].expand_as(part))
    torch.testing.assert_close(procrustes(0.08)(alike), identity(alike))
