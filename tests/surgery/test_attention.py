"""Memory and edge cases of attention rules; their equations are tested with the methods."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.attention import (
    Heads,
    gaussian_bumps,
    grounding,
    identity,
    key_key,
    neighbourhood,
    query_key,
    query_query,
    summed,
    value_value,
)

GRID = PatchGrid(rows=12, columns=20)


def heads(*, batch=2, count=3, width=8, prefix=1, grid=GRID, seed=0):
    generator = torch.Generator().manual_seed(seed)
    tokens = prefix + grid.patches

    def part():
        return torch.randn(batch, count, tokens, width, generator=generator)

    return Heads(
        query=part(),
        key=part(),
        value=part(),
        normed=torch.randn(batch, tokens, count * width, generator=generator),
        scale=width**-0.5,
        prefix_tokens=prefix,
        grid=grid,
    )


RULES = {
    "query_key": query_key,
    "value_value": value_value,
    "summed": summed(query_query, key_key),
    "grounding": grounding(1),
    "neighbourhood": neighbourhood(5.0),
}


class Largest(TorchDispatchMode):
    """The number of elements of the largest tensor that an operation returned."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return result


@pytest.mark.parametrize("name", RULES)
def test_no_rule_stores_an_attention_matrix(name):
    given = heads()
    with torch.no_grad(), Largest() as seen:
        RULES[name](given)
    tokens = given.query.shape[2]
    bump = tokens * GRID.patches if name == "neighbourhood" else 0  # one for all heads, images
    assert seen.elements <= max(given.query.numel(), bump)
    assert seen.elements < 6 * tokens * tokens / 3


@pytest.mark.parametrize("prefix", [0, 1, 5])
@pytest.mark.parametrize("name", RULES)
def test_the_output_has_one_row_per_patch_for_any_prefix(name, prefix):
    received = RULES[name](heads(prefix=prefix))
    assert received.shape == (2, 3, GRID.patches, 8)
    assert torch.isfinite(received).all()


def test_the_sum_of_one_rule_is_the_rule():
    given = heads()
    assert torch.equal(summed(identity)(given), identity(given))
    torch.testing.assert_close(
        summed(query_query, key_key, value_value)(given),
        query_query(given) + key_key(given) + value_value(given),
    )


def test_gaussian_bumps_are_one_at_distance_zero_and_decrease():
    bumps = gaussian_bumps(PatchGrid(rows=2, columns=3), 1.0)
    assert torch.equal(bumps.diagonal(), torch.ones(6))
    torch.testing.assert_close(bumps, bumps.T)
    torch.testing.assert_close(bumps[0], torch.exp(-torch.tensor([0, 1, 4, 1, 2, 5]) / 2))


def test_a_very_wide_neighbourhood_equals_key_key():
    """A bias of 1 for all tokens shifts all logits equally if there is no prefix token."""
    given = heads(prefix=0)
    torch.testing.assert_close(neighbourhood(1e6)(given), key_key(given))


def test_clustering_does_not_move_equal_points():
    given = heads()
    alike = given.value[:, :, :1].expand_as(given.value)
    same = Heads(
        query=alike,
        key=alike,
        value=alike,
        normed=given.normed,
        scale=given.scale,
        prefix_tokens=1,
        grid=GRID,
    )
    torch.testing.assert_close(grounding(2)(same), identity(same))
