"""Sums: exact in any order, and refused if they would not be."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.sums import ClassMean, Counts

VALUES = st.lists(st.tuples(st.integers(0, 2), st.floats(-100, 100)), min_size=1, max_size=30)


def mean_of(pairs):
    mean = ClassMean(3)
    for index, value in pairs:
        mean.add(index, value)
    return mean


@given(VALUES, st.randoms(use_true_random=False))
def test_results_do_not_depend_on_order_and_parts(pairs, chance):
    whole = mean_of(pairs)
    shuffled = chance.sample(pairs, len(pairs))
    cut = chance.randrange(len(pairs) + 1)
    joined = mean_of(shuffled[cut:])
    joined.merge(mean_of(shuffled[:cut]))
    assert torch.equal(joined.means(), whole.means())
    expected = np.mean(
        [
            np.mean([value for index, value in pairs if index == own])
            for own in {index for index, _ in pairs}
        ]
    )
    assert float(whole.means()[0]) == pytest.approx(expected, abs=1e-9)


def test_many_large_values_do_not_overflow():
    mean = ClassMean(1)
    mean.add(0, 100.0)
    for _ in range(24):  # 16.8 million images
        mean.merge(mean)
    assert float(mean.means()[0]) == 100.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), torch.tensor([1.0, float("nan")])])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InputError, match="finite values for class 1"):
        ClassMean(2, torch.as_tensor(value).numel()).add(1, value)


@pytest.mark.parametrize("make", [lambda: ClassMean(0), lambda: ClassMean(1, 0), lambda: Counts(0)])
def test_nothing_to_count_is_refused(make):
    with pytest.raises(InputError, match="1 or more"):
        make()


def test_a_state_holds_what_is_not_zero():
    counts = Counts(172, 172)
    counts.values[3, 5] = 7
    state = counts.state()
    assert (state["where"].tolist(), state["counts"].tolist()) == ([3 * 172 + 5], [7])
    other = Counts(172, 172)
    other.values[0, 0] = 1  # what was there is gone
    other.load(state)
    assert torch.equal(other.values, counts.values)
