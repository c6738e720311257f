"""Gradient methods: several texts, gradient modes and unsupported models."""

import dataclasses

import pytest
import torch
from torch import nn

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.gradient import GradientMethod
from clip_surgery.methods.registry import METHODS, method_named
from clip_surgery.text.features import TextFeatures
from tests.methods.naive import double_backbone, double_model, labels, random_images
from tests.towers import tiny_open_clip

NAMES = [name for name, cls in METHODS.items() if issubclass(cls, GradientMethod)]


@pytest.fixture(params=NAMES)
def method(request):
    return method_named(request.param)


@pytest.fixture(scope="module")
def backbone():
    return double_backbone(double_model())


def test_all_methods_that_need_gradients_are_gradient_methods():
    assert [name for name, cls in METHODS.items() if cls.needs_gradient] == NAMES
    assert {"grad_cam", "gscorecam", "bi_modal", "legrad", "grad_eclip"} <= set(NAMES)


def test_several_texts_have_the_maps_of_single_texts(method, backbone):
    pixels, texts = random_images(), labels(7)
    together = method(backbone, pixels, texts)
    for column in range(7):
        one = TextFeatures(texts=("one",), labels=texts.labels[[column]], empty=texts.empty)
        alone = method(backbone, pixels, one)
        torch.testing.assert_close(together.patches[:, [column]], alone.patches)


@pytest.mark.parametrize("texts_at_a_time", [1, 3, 100])
def test_the_size_of_groups_of_texts_does_not_change_the_maps(method, backbone, texts_at_a_time):
    pixels, texts = random_images(), labels(5)
    grouped = dataclasses.replace(method, texts_at_a_time=texts_at_a_time)
    torch.testing.assert_close(
        grouped(backbone, pixels, texts).patches, method(backbone, pixels, texts).patches
    )


def test_frozen_weights_no_grad_and_inference_mode_give_the_same_maps(method):
    model = double_model()
    pixels, texts = random_images(), labels()
    expected = method(double_backbone(model), pixels, texts)
    frozen = double_backbone(model.requires_grad_(requires_grad=False))
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        with mode():
            evidence = method(
                frozen,
                pixels.clone(),
                TextFeatures(
                    texts=texts.texts, labels=texts.labels.clone(), empty=texts.empty.clone()
                ),
            )
        torch.testing.assert_close(evidence.patches, expected.patches, rtol=0, atol=0)
        assert not evidence.patches.requires_grad
        assert not evidence.image.requires_grad
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_no_gradient_is_written_to_weights_or_pixels(method):
    model = double_model()
    pixels = random_images().requires_grad_()
    method(double_backbone(model), pixels, labels())
    assert pixels.grad is None
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_constant_image_has_finite_evidence(method, backbone):
    for value in (0.0, 1.0):
        evidence = method(backbone, torch.full_like(random_images(), value), labels())
        assert torch.isfinite(evidence.patches).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_in_half_precision_are_finite_and_not_zero(method, dtype):
    """Without scaling, small float16 gradients would round to zero."""
    half = wrap_backbone(tiny_open_clip().to(dtype))
    full = double_backbone(double_model())
    pixels, texts = random_images(), labels()
    near = method(half, pixels.to(dtype), texts).patches
    reference = method(full, pixels, texts).patches
    assert near.dtype == torch.float32
    assert torch.isfinite(near).all()
    assert (near - reference).abs().max() < 0.1 * reference.abs().max()


class Quantised(nn.Linear):
    """A layer with the attributes of packed layers of torch.ao.nn.quantized."""


Quantised.__module__ = "torch.ao.nn.quantized.dynamic.modules.linear"


def test_quantised_weights_are_refused_and_alternatives_are_listed(method):
    model = tiny_open_clip()
    model.visual.transformer.resblocks[0].mlp.c_fc.__class__ = Quantised
    with pytest.raises(UnsupportedModelError, match="quantised") as caught:
        method(wrap_backbone(model), random_images().float(), labels())
    works = str(caught.value).rpartition(":")[2]
    assert "clip_surgery" in works
    assert "rollout" in works
    assert method.name not in works


def test_integer_weights_are_refused(method):
    model = tiny_open_clip()
    bias = model.visual.transformer.resblocks[0].mlp.c_fc
    bias.extra = nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False)
    with pytest.raises(UnsupportedModelError, match="quantised"):
        method(wrap_backbone(model), random_images().float(), labels())


def test_weights_made_in_inference_mode_are_refused(method):
    with torch.inference_mode():
        backbone = wrap_backbone(tiny_open_clip())
    with pytest.raises(UnsupportedModelError, match="inference_mode"):
        method(backbone, random_images().float(), labels())


def test_a_tower_that_cuts_gradients_is_refused_and_alternatives_are_listed(method, backbone):
    def cut(part):
        return lambda tokens: part(tokens).detach()

    tower = dataclasses.replace(
        backbone.tower, pool=cut(backbone.tower.pool), project=cut(backbone.tower.project)
    )
    broken = dataclasses.replace(backbone, tower=tower)
    with pytest.raises(UnsupportedModelError, match=f"{method.name}: No gradient .*: similarity"):
        method(broken, random_images(), labels())


CLASS_ROW = ("bi_modal", "grad_eclip")


def test_a_tower_that_pools_its_patches_supports_all_methods_that_need_no_class_token(method):
    backbone = double_backbone(double_model(visual={"pool_type": "avg"}))
    pixels, texts = random_images(), labels()
    if method.name in CLASS_ROW:
        with pytest.raises(UnsupportedModelError, match=r"class token.*: similarity.*legrad"):
            method(backbone, pixels, texts)
    else:
        assert torch.isfinite(method(backbone, pixels, texts).patches).all()
