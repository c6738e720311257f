"""Gradients of all texts at once, compared with one backward pass per text and image."""

import pytest
import torch

from clip_surgery.errors import UnsupportedModelError
from clip_surgery.surgery.gradients import gradients_per_text


@pytest.mark.parametrize("texts_at_a_time", [1, 2, 5, 100])
def test_equals_one_backward_pass_per_text_and_image(texts_at_a_time):
    first = torch.randn(2, 3, 4, requires_grad=True)
    second = (first * 2).sin()
    scores = (second.softmax(dim=-1) * first).sum(dim=1) @ torch.randn(4, 5)
    groups = list(gradients_per_text(scores, [first, second], texts_at_a_time=texts_at_a_time))
    for position, tensor in enumerate((first, second)):
        actual = torch.cat([group[position] for group in groups])
        assert actual.shape == (5, 2, 3, 4)
        for image in range(2):
            for text in range(5):
                (expected,) = torch.autograd.grad(scores[image, text], tensor, retain_graph=True)
                torch.testing.assert_close(actual[text, image], expected[image])
    assert first.grad is None


def test_small_float16_gradients_are_not_lost():
    """1e-8 is below the smallest float16 number and is only kept by scaling."""
    tensor = torch.ones(1, 4, dtype=torch.float16, requires_grad=True)
    scores = (tensor.float() * 1e-8).sum(dim=-1, keepdim=True)
    ((gradient,),) = gradients_per_text(scores, [tensor], texts_at_a_time=1)
    assert gradient.dtype == torch.float32
    torch.testing.assert_close(gradient, torch.full((1, 1, 4), 1e-8), rtol=0.01, atol=0)


def test_scores_without_a_graph_are_refused():
    with pytest.raises(UnsupportedModelError, match="No gradient"):
        next(gradients_per_text(torch.zeros(1, 2), [torch.zeros(1)], texts_at_a_time=1))
