import copy
import pickle
import threading
from dataclasses import dataclass

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.apps.cli.shared.drawing import at_most
from clip_surgery.apps.page.sessions import at_size
from clip_surgery.deferred_tensor import DeferrableTensor, DeferredTensor, combined, transformed
from clip_surgery.framed_images import compact_pixels, full_pixels
from clip_surgery.framing import Size
from clip_surgery.inputs.images import read_image
from clip_surgery.surgery import deferred_log_ratios
from clip_surgery.surgery.consistent_features import consistent_features
from clip_surgery.windows import Windows, explain_windows

METHODS = ("rollout", "grad_eclip")


class Counted:
    def __init__(self, value):
        self.value, self.calls = value, 0

    def __call__(self):
        self.calls += 1
        return self.value


def test_a_deferred_tensor_is_computed_once_by_many_threads():
    counted = Counted(torch.ones(2))
    deferred = DeferredTensor(counted)
    doubled = deferred.then(lambda tensor: 2 * tensor)
    assert counted.calls == 0
    threads = [threading.Thread(target=lambda: doubled.value) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert doubled.value.tolist() == [2, 2]
    assert counted.calls == 1


def test_an_error_is_raised_each_time_it_is_read():
    def fail():
        raise cs.WeightsError("not finite")

    deferred = DeferredTensor(fail).then(lambda tensor: tensor)
    for _ in range(2):
        with pytest.raises(cs.WeightsError, match="not finite"):
            _ = deferred.value


def test_copies_and_pickles_hold_the_tensor():
    deferred = DeferredTensor(lambda: torch.arange(2))
    for other in (copy.deepcopy(deferred), pickle.loads(pickle.dumps(deferred))):
        assert other.value.tolist() == [0, 1]


def test_what_is_made_of_several_is_deferred_if_one_is():
    counted = Counted(torch.ones(1))
    both = combined([torch.zeros(1), DeferredTensor(counted)], torch.cat)
    assert counted.calls == 0
    assert both.value.tolist() == [0, 1]
    assert combined([torch.zeros(1), torch.ones(1)], torch.cat).tolist() == [0, 1]
    assert combined([], torch.cat) is None
    assert combined([torch.zeros(1), None], torch.cat) is None
    assert transformed(None, torch.neg) is None
    assert transformed(torch.ones(1), torch.neg).tolist() == [-1]


def test_a_field_keeps_a_tensor_none_and_a_deferred_tensor():
    @dataclass(frozen=True)
    class Scores:
        name: str
        ratios: DeferrableTensor = DeferrableTensor()

    tensor = torch.ones(2)
    assert Scores("a").ratios is None
    assert Scores("a", ratios=tensor).ratios is tensor
    assert Scores("a", ratios=DeferredTensor(lambda: tensor)).ratios is tensor
    assert "ratios=None" in repr(Scores("a"))


@pytest.mark.parametrize("levels", [torch.arange(256).to(torch.uint8), None])
def test_compact_pixels_lose_nothing(levels):
    pixels = torch.rand(300) if levels is None else levels.float() / 255
    kept = compact_pixels(pixels)
    assert kept.dtype == (torch.float32 if levels is None else torch.uint8)
    assert torch.equal(full_pixels(kept), pixels)
    expected = pixels.clone()
    pixels += 1  # what is kept is a copy
    assert torch.equal(full_pixels(kept), expected)


@pytest.fixture(scope="module")
def demo():
    return cs.load("demo")


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (64, 80, 3), dtype=np.uint8) for _ in range(3)]


@pytest.fixture
def extra_walks(monkeypatch):
    """The number of images of each extra walk for presence."""
    calls = []

    def counted(tower, pixels):
        calls.append(len(pixels))
        return consistent_features(tower, pixels)

    monkeypatch.setattr(deferred_log_ratios, "consistent_features", counted)
    return calls


@pytest.mark.parametrize("method", METHODS)
def test_the_model_runs_once_more_only_if_presence_is_read(demo, images, extra_walks, method):
    explanation = demo.with_method(method)(images, ["dog", "boat"])
    cs.heatmaps(explanation)
    parts = [explanation[0], explanation["boat"], type(explanation).join(list(explanation))]
    assert extra_walks == []
    for item in (explanation, *parts):
        cs.presence(item)
    assert extra_walks == [3]
    assert torch.equal(parts[0].reference_log_ratios, explanation.reference_log_ratios[:1])
    assert torch.equal(parts[1].reference_log_ratios, explanation.reference_log_ratios[..., 1:])
    assert torch.equal(parts[2].reference_log_ratios, explanation.reference_log_ratios)


def test_an_explanation_at_another_size_keeps_presence_unread(demo, images, extra_walks):
    explanation = demo.with_method("rollout")(images[0], ["dog", "boat"])
    smaller = at_size(explanation, Size(32, 40))
    _, drawn = at_most(read_image(images[0]), explanation, pixels=1000)
    assert extra_walks == []
    assert torch.equal(smaller.reference_log_ratios, explanation.reference_log_ratios)
    assert torch.equal(drawn.reference_log_ratios, explanation.reference_log_ratios)
    assert extra_walks == [1]


def test_presence_of_a_method_without_patch_features_is_that_of_surgery(demo, images):
    probabilities = cs.presence(demo.with_method("rollout")(images, ["dog", "boat"]))
    torch.testing.assert_close(
        probabilities, cs.presence(demo(images, ["dog", "boat"])), atol=1e-4, rtol=1e-3
    )


def test_presence_is_that_of_the_image_when_it_was_explained(demo, extra_walks):
    rollout = demo.with_method("rollout")
    pixels = torch.rand(1, 3, 64, 64)
    texts = demo.encode(["dog"])
    expected = rollout.explain_pixels(pixels, texts).reference_log_ratios
    evidence = rollout.explain_pixels(pixels, texts)
    pixels.zero_()
    assert torch.equal(evidence.reference_log_ratios, expected)
    assert extra_walks == [1, 1]


def test_no_extra_walk_for_methods_with_patch_features(demo, images, extra_walks):
    cs.presence(demo(images, ["dog"]))
    assert extra_walks == []


def test_files_hold_the_log_ratios(demo, images, extra_walks, tmp_path):
    explanation = demo.with_method("rollout")(images[:1], ["dog"])
    explanation.save(tmp_path / "a.safetensors")
    assert extra_walks == [1]
    loaded = cs.Explanation.load(tmp_path / "a.safetensors")
    assert torch.equal(loaded.reference_log_ratios, explanation.reference_log_ratios)
    other = pickle.loads(pickle.dumps(demo.with_method("rollout")(images[:1], ["dog"])))
    assert torch.equal(other.reference_log_ratios, explanation.reference_log_ratios)


def test_windows_defer_presence_too(demo, images, extra_walks):
    rollout = demo.with_method("rollout")
    windows = Windows(crop=48)
    explanation = explain_windows(rollout, images[0], ["dog", "boat"], windows=windows)
    assert extra_walks == []
    ratios = explanation.reference_log_ratios
    assert len(extra_walks) == 1
    dense = explain_windows(demo, images[0], ["dog", "boat"], windows=windows)
    torch.testing.assert_close(ratios, dense.reference_log_ratios, atol=1e-3, rtol=1e-3)


def test_weights_that_are_not_finite_are_named_when_presence_is_read(demo, images, monkeypatch):
    explanation = demo.with_method("rollout")(images[:1], ["dog"])

    def not_finite(features, texts, *, scale):
        return torch.full((1, 2, 1), torch.nan)

    monkeypatch.setattr(deferred_log_ratios, "reference_log_ratios", not_finite)
    with pytest.raises(cs.WeightsError, match="not finite"):
        cs.presence(explanation)
