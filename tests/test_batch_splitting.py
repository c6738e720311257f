import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.batch_splitting import is_out_of_memory, results_or_errors
from clip_surgery.errors import InputError, UnsupportedModelError
from clip_surgery.evaluation import evaluate
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.explainer import Explainer
from clip_surgery.windows import Windows, explain_windows

OUT_OF_MEMORY = {
    "cuda": torch.OutOfMemoryError,
    "cuda message": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    "python": MemoryError,
    "linux": lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to"),
    "windows": lambda: RuntimeError("DefaultCPUAllocator: not enough memory: you tried to"),
    "cublas": lambda: RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"),
    "mps": lambda: RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
}


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_missing_memory_is_recognised(kind):
    assert is_out_of_memory(OUT_OF_MEMORY[kind]())


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), ValueError("out of memory"), KeyError("memory")]
)
def test_other_errors_are_not_missing_memory(error):
    assert not is_out_of_memory(error)


class Limited:
    """Doubles numbers, raises for more than `most` at once, and for bad ones; keeps its calls."""

    def __init__(self, error, *, most, bad=()):
        self.error, self.most, self.bad, self.calls = error, most, bad, []

    def __call__(self, items):
        self.calls.append(len(items))
        if len(items) > self.most or set(self.bad) & set(items):
            raise self.error()
        return [2 * item for item in items]


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_a_batch_is_halved_until_it_fits(kind):
    compute = Limited(OUT_OF_MEMORY[kind], most=3)
    assert list(results_or_errors(compute, range(8))) == [2 * item for item in range(8)]
    assert compute.calls == [8, 4, 2, 2, 4, 2, 2]


def test_one_bad_item_of_eight_costs_seven_calls():
    compute = Limited(lambda: InputError("bad"), most=8, bad=[5])
    results = list(results_or_errors(compute, range(8), errors=(InputError,)))
    assert [str(results.pop(5)), *results] == ["bad", 0, 2, 4, 6, 8, 12, 14]
    assert compute.calls == [8, 4, 4, 2, 1, 1, 2]


def test_an_item_that_does_not_fit_alone_is_an_error_of_its_own():
    compute = Limited(MemoryError, most=0)
    results = list(results_or_errors(compute, "abc"))
    assert [type(result) for result in results] == [MemoryError] * 3
    assert list(results_or_errors(compute, [])) == []


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("shapes differ")])
def test_errors_of_other_kinds_are_raised_at_once(error):
    def compute(items):
        calls.append(items)
        raise error

    calls = []
    with pytest.raises(type(error)):
        list(results_or_errors(compute, [1, 2], errors=(InputError,)))
    assert calls == [[1, 2]]


def test_a_model_without_a_part_is_not_tried_again():
    compute = Limited(lambda: UnsupportedModelError("no text tower"), most=0)
    with pytest.raises(UnsupportedModelError):
        list(results_or_errors(compute, [1, 2], errors=(Exception,)))
    assert compute.calls == [2]


def test_a_wrong_number_of_results_is_refused():
    with pytest.raises(ValueError, match="Expected 2 results, but got 1"):
        list(results_or_errors(lambda items: [1], [1, 2], errors=(Exception,)))


def test_tensors_of_a_failed_batch_are_free_before_its_halves():
    tensors = []

    def compute(items):
        assert not [reference for reference in tensors if reference() is not None]
        large = torch.zeros(len(items))
        tensors.append(weakref.ref(large))
        if len(items) > 1:
            raise torch.OutOfMemoryError
        return items

    assert list(results_or_errors(compute, [1, 2, 3])) == [1, 2, 3]
    assert len(tensors) == 5


@pytest.fixture(scope="module")
def explainer():
    return cs.load("demo")


def limited(monkeypatch, error, *, most):
    """Let `explain_pixels` of every explainer raise for more than `most` images."""
    calls = []
    explain_pixels = Explainer.explain_pixels

    def limited_explain_pixels(self, pixels, texts):
        calls.append(len(pixels))
        if len(pixels) > most:
            raise error()
        return explain_pixels(self, pixels, texts)

    monkeypatch.setattr(Explainer, "explain_pixels", limited_explain_pixels)
    return calls


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(1)
    sizes = [(64, 64), (64, 48), (64, 64), (48, 64), (64, 64), (64, 64), (64, 64)]
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


@pytest.mark.parametrize("kind", ["cuda", "python", "linux"])
def test_an_explainer_divides_batches_that_do_not_fit(explainer, images, monkeypatch, kind):
    expected = explainer(images, ["dog", "boat"])
    calls = limited(monkeypatch, OUT_OF_MEMORY[kind], most=2)
    explanation = explainer(images, ["dog", "boat"])
    assert calls == [5, 2, 3, 1, 2, 1, 1]
    assert explanation.images == expected.images
    for maps, others in zip(explanation.patch_scores, expected.patch_scores, strict=True):
        torch.testing.assert_close(maps, others, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        explanation.reference_log_ratios, expected.reference_log_ratios, atol=1e-4, rtol=1e-4
    )


def test_an_image_that_never_fits_raises_the_error_of_torch(explainer, images, monkeypatch):
    limited(monkeypatch, torch.OutOfMemoryError, most=0)
    with pytest.raises(torch.OutOfMemoryError):
        explainer(images[:2], ["dog"])


def test_windows_are_divided_when_they_do_not_fit(explainer, monkeypatch):
    image = np.random.default_rng(2).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    windows = Windows(crop=64)
    expected = explain_windows(explainer, image, ["dog", "boat"], windows=windows)
    calls = limited(monkeypatch, lambda: RuntimeError("can't allocate memory"), most=2)
    explanation = explain_windows(explainer, image, ["dog", "boat"], windows=windows)
    assert calls == [8, 4, 2, 2, 4, 2, 2]
    torch.testing.assert_close(
        explanation.patch_scores, expected.patch_scores, atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(explanation.image_scores, expected.image_scores)


def test_an_evaluation_goes_on_with_smaller_batches(explainer, monkeypatch):
    scenes = cs.open_dataset("scenes", seed=1, count=4)
    methods = {"clip_surgery": explainer.method}
    explainer = replace(explainer, vocabulary=None)
    [expected] = evaluate(explainer, scenes, methods, metrics=[Pointing])
    calls = limited(monkeypatch, torch.OutOfMemoryError, most=1)
    [report] = evaluate(explainer, scenes, methods, metrics=[Pointing])
    assert calls == [4, 2, 1, 1, 2, 1, 1]
    assert report.values["pointing"] == expected.values["pointing"]
