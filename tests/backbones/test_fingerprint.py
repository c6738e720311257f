"""Fingerprints change with any single weight and with nothing else."""

import copy
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from clip_surgery.backbones import fingerprint as module_under_test
from clip_surgery.backbones.fingerprint import Fingerprint, fingerprint


def layers(dtype=torch.float32):
    torch.manual_seed(0)
    return nn.ModuleDict(
        {"table": nn.Embedding(301, 37), "norm": nn.LayerNorm(3), "out": nn.Linear(5, 1)}
    ).to(dtype)


@pytest.fixture
def counted(monkeypatch):
    """A list that grows by one each time the weights are read."""
    calls = []
    real = module_under_test.fingerprint

    def count(*arguments, **settings):
        calls.append(1)
        return real(*arguments, **settings)

    monkeypatch.setattr(module_under_test, "fingerprint", count)
    return calls


def test_same_weights_same_fingerprint():
    model = layers()
    assert fingerprint(model) == fingerprint(copy.deepcopy(model))
    assert len(fingerprint(model)) == 16
    int(fingerprint(model), 16)


@settings(max_examples=60, deadline=None)
@given(index=st.integers(0, 301 * 37 - 1), dtype=st.sampled_from([torch.float32, torch.bfloat16]))
def test_any_single_weight_changes_the_fingerprint(index, dtype):
    model = layers(dtype)
    before = fingerprint(model)
    flat = model["table"].weight.data.view(-1)
    flat[index] = torch.nextafter(flat[index], flat[index] + 1)
    assert fingerprint(model) != before


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 301 * 37 - 1), second=st.integers(0, 301 * 37 - 1))
def test_exchanging_two_weights_changes_the_fingerprint(first, second):
    model = layers()
    before = fingerprint(model)
    flat = model["table"].weight.data.view(-1)
    differ = bool(flat[first] != flat[second])
    flat[[first, second]] = flat[[second, first]]
    assert (fingerprint(model) != before) == differ


@pytest.mark.parametrize("name", ["norm.weight", "norm.bias", "out.weight", "out.bias"])
def test_small_tensors_change_the_fingerprint(name):
    model = layers()
    before = fingerprint(model)
    model.get_parameter(name).data.view(-1)[-1] += 1
    assert fingerprint(model) != before


def test_names_types_shapes_and_settings_change_the_fingerprint():
    torch.manual_seed(0)
    values = torch.zeros(6)
    models = [
        nn.ParameterDict({"a": values}),
        nn.ParameterDict({"b": values}),
        nn.ParameterDict({"a": values.view(2, 3)}),
        nn.ParameterDict({"a": values.to(torch.int32).float().half()}),
    ]
    actual = {fingerprint(model) for model in models} | {fingerprint(models[0], settings="gelu")}
    assert len(actual) == 5


def test_skipped_weights_do_not_change_the_fingerprint():
    model = layers()
    before = fingerprint(model, skip=("table.",))
    model["table"].weight.data.zero_()
    assert fingerprint(model, skip=("table.",)) == before
    model["out"].weight.data.zero_()
    assert fingerprint(model, skip=("table.",)) != before


def test_weights_at_unaligned_addresses():
    """Tensors mapped from a file may not be aligned; only their values matter."""
    model = nn.Linear(5, 3, bias=False)
    before = fingerprint(model)
    storage = torch.zeros(16)
    storage[1:] = model.weight.detach().view(-1)
    model.weight.data = storage[1:].view(3, 5)
    assert fingerprint(model) == before


def test_weights_are_read_once_until_they_change(counted):
    model = layers()
    cached = Fingerprint(model)
    assert cached() == cached() == fingerprint(model)
    assert len(counted) == 1
    with torch.no_grad():
        model["table"].weight[3, 4] += 1
    assert cached() == fingerprint(model)
    assert len(counted) == 2


def test_all_ways_to_change_weights_are_detected():
    model = layers()
    cached = Fingerprint(model)
    fingerprints = {cached()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    model["out"](torch.ones(1, 5)).sum().backward()
    optimiser.step()
    fingerprints.add(cached())
    for parameter in model.parameters():  # averaged weights are often copied like this
        parameter.data.mul_(0.9)
    fingerprints.add(cached())
    model.load_state_dict(layers().state_dict(), assign=True)
    fingerprints.add(cached())  # the same as the first
    model.to(torch.bfloat16)
    fingerprints.add(cached())
    assert len(fingerprints) == 4


def test_weights_created_in_inference_mode():
    with torch.inference_mode():
        cached = Fingerprint(layers())
    assert cached() == fingerprint(layers())


def test_threads_share_one_computation(counted):
    cached, actual = Fingerprint(layers()), []
    threads = [threading.Thread(target=lambda: actual.append(cached())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(actual) == 8
    assert len(set(actual)) == len(counted) == 1
