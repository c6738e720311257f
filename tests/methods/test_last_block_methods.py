"""The dense methods that change the last block only, compared with their equations per head."""

import math

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.methods.clearclip import ClearClip
from clip_surgery.methods.cliptrase import ClipTrase
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.naclip import NaClip
from clip_surgery.methods.sclip import Sclip
from tests.methods.naive import (
    SIDE,
    assert_same_map,
    double_backbone,
    double_model,
    labels,
    random_images,
    self_attention,
    similarity,
)


def neighbours(std):
    """softmax(s k k^T + w) v, with w computed per pair of patches and 0 for the class token."""

    def received(head, normed):
        count = SIDE * SIDE
        bump = torch.zeros(count + 1, count + 1, dtype=torch.float64)
        for i in range(count):
            for j in range(count):
                down, across = i // SIDE - j // SIDE, i % SIDE - j % SIDE
                bump[i + 1, j + 1] = math.exp(-(down**2 + across**2) / (2 * std**2))
        logits = head["k"] @ head["k"].T / math.sqrt(head["k"].shape[-1])
        return (logits + bump).softmax(dim=-1) @ head["v"]

    return received


CASES = {
    "maskclip": (MaskClip(), lambda head, normed: head["v"], True, True),
    "maskclip alone": (
        MaskClip(residual=False, feed_forward=False),
        lambda head, normed: head["v"],
        False,
        False,
    ),
    "sclip": (Sclip(), lambda head, normed: self_attention(head, "qq", "kk"), True, True),
    "clearclip": (ClearClip(), lambda head, normed: self_attention(head, "qq"), False, False),
    "cliptrase": (
        ClipTrase(),
        lambda head, normed: self_attention(head, "qq", "kk", "vv"),
        True,
        True,
    ),
    "naclip": (NaClip(), neighbours(5.0), False, False),
    "naclip, narrow": (NaClip(std=0.7), neighbours(0.7), False, False),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_equations(name):
    method, received, residual, feed_forward = CASES[name]
    model, pixels, texts = double_model(), random_images(), labels()
    with torch.no_grad():
        evidence = method(double_backbone(model), pixels, texts)
        for row, image in enumerate(pixels):
            expected = similarity(
                model,
                image,
                texts,
                received,
                depth=1,
                residual=residual,
                feed_forward=feed_forward,
            )
            assert_same_map(evidence.patches[row], expected)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan")])
def test_naclip_refuses_a_std_that_is_not_above_zero(std):
    with pytest.raises(InputError, match=str(std)):
        NaClip(std=std)
