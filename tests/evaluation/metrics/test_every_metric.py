"""Every registered metric: parts can be merged, states restored, and edge cases are defined."""

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.metric import Metric
from clip_surgery.evaluation.metrics.registry import METRICS
from tests.cases import NAMES, explained_case, random_mask, sample_of
from tests.slow_cases import slow_except
from tests.towers import tiny_open_clip

CHECKS_OF_TRUST = {
    *("randomisation", "gibberish", "absent", "road", "insertion_deletion", "sensitivity", "flip"),
}
# Checks of trust are one class, and each runs the model many times; two of them stand for all here.
QUICK = [key for key in METRICS if key not in CHECKS_OF_TRUST or key == "absent"]
EVERY = slow_except([*QUICK, "randomisation"], QUICK)


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(
        tiny_open_clip(), templates="name", cache=False, vocabulary=["stone", "water", "sky"]
    )


@pytest.fixture(scope="module")
def cases(explainer):
    """Blocks of 16 px, so that some patches of 8 px are an object's own."""
    masks = [np.kron(random_mask(seed, 8, 8), np.ones((8, 8), int)) for seed in range(7)]
    return [
        explained_case(explainer, sample_of(mask, seed=seed)) for seed, mask in enumerate(masks)
    ]


def fed(key, cases, names=NAMES):
    metric = METRICS[key](names)
    for case in cases:
        metric.update(case)
    return metric


def assert_equal_states(first, second):
    first, second = first.state(), second.state()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("key", EVERY)
def test_it_measures(key, cases):
    metric = fed(key, cases)
    assert isinstance(metric, Metric)
    values = metric.compute()
    assert values
    assert np.isfinite(list(values.values())).all()


@pytest.mark.parametrize("key", EVERY)
def test_merge_of_parts_is_exactly_the_whole(key, cases):
    parts = [fed(key, cases[start:stop]) for start, stop in ((0, 1), (1, 5), (5, 5), (5, 7))]
    joined = METRICS[key](NAMES)
    for part in reversed(parts):
        joined.merge(part)
    whole = fed(key, cases)
    assert_equal_states(joined, whole)
    assert joined.compute() == whole.compute()
    assert_equal_states(parts[3], fed(key, cases[5:]))  # what was merged is as it was


@pytest.mark.parametrize("key", EVERY)
def test_a_state_comes_back(key, cases):
    first, second, whole = fed(key, cases[:3]), METRICS[key](NAMES), fed(key, cases)
    second.load(first.state())
    assert_equal_states(first, second)
    assert second.compute() == first.compute()
    for case in cases[3:]:
        second.update(case)
    assert second.compute() == whole.compute()
    assert first.compute() == fed(key, cases[:3]).compute()  # no memory is shared


@pytest.mark.parametrize("key", EVERY)
def test_a_state_is_small_and_does_not_grow(key, cases):
    def size(metric):
        return sum(value.nbytes for value in metric.state().values())

    assert size(METRICS[key](NAMES)) < 500
    once, often = fed(key, cases), fed(key, cases * 5)
    assert size(often) == size(once)


@pytest.mark.parametrize("key", EVERY)
def test_a_state_of_something_else_is_refused(key, cases):
    state = fed(key, cases).state()
    with pytest.raises(InputError, match="Expected a state"):
        METRICS[key](NAMES).load({})
    with pytest.raises(InputError, match="Expected a state"):
        METRICS[key](NAMES).load({**state, "more": torch.zeros(1)})
    if key != "presence":  # what it counts is the same for any names
        with pytest.raises(InputError, match="other class names"):
            METRICS[key](NAMES[:3]).load(state)
    beyond = {name: value + 10**6 if value.ndim else value for name, value in state.items()}
    shapes = {name: value for name, value in state.items() if name.endswith("shape")}
    with pytest.raises(InputError, match="Expected a state"):
        METRICS[key](NAMES).load({**beyond, **shapes})


@pytest.mark.parametrize("key", EVERY)
def test_a_metric_without_images_has_no_numbers(key):
    assert METRICS[key](NAMES).compute() == {}


EDGES = {
    "no name is present": (np.full((32, 32), -1), None, NAMES),
    "labels without a mask": (np.full((32, 32), -2), frozenset({"cat", "bus"}), NAMES),
    "nothing is known": (np.full((32, 32), -2), frozenset(), NAMES),
    "an object fills the image": (np.zeros((32, 32), int), None, NAMES),
    "every name is present": (np.arange(1024).reshape(32, 32) // 256, None, NAMES),
    "one name only": (np.arange(1024).reshape(32, 32) // 512 - 1, None, ("cat",)),
    "one name, without a mask": (np.full((32, 32), -2), frozenset({"cat"}), ("cat",)),
    "one pixel": (np.zeros((1, 1), int), None, NAMES),
}


@pytest.mark.parametrize("key", EVERY)
@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_defined(key, edge, explainer):
    mask, present, names = EDGES[edge]
    case = explained_case(explainer, sample_of(mask, names, present=present), names)
    values = fed(key, [case, case], names).compute()
    assert np.isfinite(list(values.values())).all()


def test_labels_alone_are_measured_where_no_mask_is_read(explainer):
    names = [frozenset({"cat"}), frozenset({"dog", "bus"}), frozenset(), frozenset({"tree"})]
    mask = np.full((32, 32), -2)
    cases = [
        explained_case(explainer, sample_of(mask, present=present, seed=seed))
        for seed, present in enumerate(names)
    ]
    measured = {key for key in QUICK if fed(key, cases).compute()}
    assert measured == {"noise_share", "presence", "tags", "deletion_insertion", "absent"}
