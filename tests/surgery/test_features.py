"""Feature surgery against the tensor form [B, P, C, D] of the released code, and edge cases."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.surgery.features import cosine, feature_surgery


def unit(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator), dim=-1)


def tensor_form(patches, image, texts, *, temperature, weighting):
    """Element-wise products per patch, text and channel; redundant features; then the sum."""
    c = image @ texts.T
    w = (temperature * c).softmax(dim=-1)
    w = w / w.mean(dim=-1, keepdim=True)
    products = patches[:, :, None, :] * texts[None, None]  # (B, P, C, D)
    weighted = products * w[:, None, :, None]
    redundant = weighted.mean(dim=2, keepdim=True)
    minuend = weighted if weighting == "reference" else products
    return (minuend - redundant).sum(dim=-1)


@pytest.mark.parametrize("weighting", ["reference", "paper"])
@pytest.mark.parametrize("temperature", [0.0, 2.0, 10.0])
@pytest.mark.parametrize(("batch", "patches", "texts"), [(1, 9, 4), (3, 16, 7), (2, 5, 2)])
def test_closed_form_equals_tensor_form(batch, patches, texts, temperature, weighting):
    p, i, t = unit(batch, patches, 32), unit(batch, 32, seed=1), unit(texts, 32, seed=2)
    closed = feature_surgery(p @ t.T, i @ t.T, temperature=temperature, weighting=weighting)
    naive = tensor_form(p, i, t, temperature=temperature, weighting=weighting)
    torch.testing.assert_close(closed, naive, atol=1e-6, rtol=1e-5)


def test_paper_form_keeps_the_order_of_texts():
    p, i, t = unit(2, 20, 16), unit(2, 16, seed=1), unit(5, 16, seed=2)
    similarity = p @ t.T
    after = feature_surgery(similarity, i @ t.T, weighting="paper")
    assert torch.equal(after.argsort(dim=-1), similarity.argsort(dim=-1))


def test_an_image_does_not_change_other_images_of_the_batch():
    p, i, t = unit(3, 8, 16), unit(3, 16, seed=1), unit(4, 16, seed=2)
    together = feature_surgery(p @ t.T, i @ t.T)
    for row in range(3):
        alone = feature_surgery(p[row : row + 1] @ t.T, i[row : row + 1] @ t.T)
        torch.testing.assert_close(together[row : row + 1], alone)


def test_a_single_text_gives_zero():
    similarity = torch.rand(2, 6, 1)
    assert torch.equal(feature_surgery(similarity, torch.rand(2, 1)), torch.zeros(2, 6, 1))


def test_the_texts_as_reference_give_the_same_result():
    p, i, t = unit(2, 8, 16), unit(2, 16, seed=1), unit(6, 16, seed=2)
    similarity, image = p @ t.T, i @ t.T
    for weighting in ("reference", "paper"):
        torch.testing.assert_close(
            feature_surgery(similarity, image, weighting=weighting),
            feature_surgery(similarity, image, weighting=weighting, reference=(similarity, image)),
        )


def test_with_a_reference_the_map_of_a_text_does_not_depend_on_other_texts():
    p, i, t, r = unit(1, 8, 16), unit(1, 16, seed=1), unit(6, 16, seed=2), unit(9, 16, seed=3)
    reference = (p @ r.T, i @ r.T)
    many = feature_surgery(p @ t.T, i @ t.T, reference=reference)
    alone = feature_surgery(p @ t[2:3].T, i @ t[2:3].T, reference=reference)
    torch.testing.assert_close(many[..., 2:3], alone)


@settings(max_examples=30, deadline=None)
@given(
    temperature=st.floats(-1e4, 1e4),
    scale=st.floats(0, 1),
    texts=st.integers(1, 6),
    weighting=st.sampled_from(["reference", "paper"]),
)
def test_the_result_is_finite_for_any_temperature(temperature, scale, texts, weighting):
    p, i, t = unit(1, 4, 8), unit(1, 8, seed=1), unit(texts, 8, seed=2)
    result = feature_surgery(
        scale * p @ t.T, scale * i @ t.T, temperature=abs(temperature), weighting=weighting
    )
    assert torch.isfinite(result).all()


def test_no_tensor_larger_than_the_similarity():
    """1,000 texts at 1,024 patches: the tensor form would need gigabytes."""
    similarity, image = torch.rand(1, 1024, 1000), torch.rand(1, 1000)
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                largest = max(largest, result.numel())
            return result

    for reference in (None, (similarity, image)):
        with Watch():
            feature_surgery(similarity, image, reference=reference)
    assert largest == similarity.numel()


def test_cosine_is_float32_and_defined_for_zero_features():
    result = cosine(torch.zeros(1, 3, 8, dtype=torch.bfloat16), unit(2, 8))
    assert result.dtype == torch.float32
    assert torch.equal(result, torch.zeros(1, 3, 2))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"class_similarity": torch.zeros(1, 3)}, InputError, r"\(1, 4, 2\)"),
        ({"class_similarity": torch.zeros(2, 2)}, InputError, r"\(2, 2\)"),
        ({"temperature": float("nan")}, InputError, "nan"),
        ({"weighting": "papper"}, UnknownNameError, "paper"),
        ({"reference": (torch.zeros(1, 4, 3), torch.zeros(1, 2))}, InputError, r"\(1, 4, 3\)"),
    ],
)
def test_invalid_input_is_an_error_that_names_the_value(arguments, error, message):
    given_arguments = {
        "similarity": torch.zeros(1, 4, 2),
        "class_similarity": torch.zeros(1, 2),
        **arguments,
    }
    with pytest.raises(error, match=message):
        feature_surgery(**given_arguments)
