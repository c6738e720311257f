"""The contracts of `clip_surgery.testing`, for every method on every tower.

A new method is tested as soon as it is registered. Only a few representative towers are tested by
default; the others are marked as slow.
"""

import pytest

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError, UnknownNameError, UnsupportedModelError
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.registry import METHODS, as_method, method_named, setting_names
from clip_surgery.testing.method_case import MethodCase, encoded_texts
from clip_surgery.testing.method_check import (
    BACKBONE_CONTRACTS,
    CLASS_CONTRACTS,
    check_method,
    check_on_backbone,
)
from clip_surgery.testing.tiny_models.companions import with_tiny_companion
from clip_surgery.testing.tiny_models.segmenters import method_with_tiny_parts
from tests.zoo import TOWER_PARAMS, TOWERS


@pytest.fixture(scope="module", params=TOWER_PARAMS)
def backbone(request):
    return with_tiny_companion(wrap_backbone(TOWERS[request.param](seed=0), name=request.param))


@pytest.fixture(scope="module")
def texts(backbone):
    return encoded_texts(backbone)


@pytest.fixture(params=METHODS)
def method(request):
    return method_with_tiny_parts(request.param)


def missing_part(method, backbone):
    """The message if the tower lacks a part that the method needs, or None."""
    tower, needs = backbone.tower, getattr(method, "needs", ())
    if "second-last block" in needs and len(tower.blocks) < 2:
        return f"{method.name} needs a second-last block, but this image tower has 1"
    if "class token" not in needs:
        return None
    if tower.prefix_tokens == 0:
        return f"{method.name} needs a class token, but this image tower has none"
    if tower.pool_reads == "all":
        return f"{method.name} needs a class token, but this image feature is pooled from all"
    return None


@pytest.mark.parametrize("contract", BACKBONE_CONTRACTS)
def test_a_method_keeps_its_contracts(contract, method, backbone, texts):
    if contract == "redundancy" and not isinstance(method, DenseMethod):
        return  # a contract of dense methods
    case = MethodCase(method=method, backbone=backbone, texts=texts)
    supported = check_on_backbone(case, [contract], label=backbone.name)
    assert supported == (missing_part(method, backbone) is None)


def test_the_message_for_an_unsupported_tower_has_the_part_and_alternatives(
    method, backbone, texts
):
    case = MethodCase(method=method, backbone=backbone, texts=texts)
    reason = missing_part(method, backbone)
    if reason is None:
        case.explain(case.pixels(batch=1))
        return
    with pytest.raises(UnsupportedModelError, match=reason) as caught:
        case.explain(case.pixels(batch=1))
    alternatives = str(caught.value).partition("Methods that work with ")[2]
    assert "clip_surgery" in alternatives
    assert method.name not in alternatives


@pytest.mark.parametrize("contract", CLASS_CONTRACTS)
def test_the_class_of_a_method_keeps_its_contracts(contract, method):
    check_method(method, contracts=[contract])


def test_registry_names_and_papers(method):
    assert METHODS[method.name] is type(method)
    assert method.paper
    assert as_method(method) is method
    assert as_method(method.name) == method_named(method.name)


def test_the_text_of_a_method_shows_its_settings(method):
    assert all(f"{name}=" in repr(method) for name in setting_names(type(method)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: method_named("clip_surgary"), UnknownNameError, "clip_surgery"),
        (lambda: method_named("clip_surgery", deph=3), UnknownNameError, "depth"),
        (lambda: method_named("clip_surgery", depth=-2), InputError, "-2"),
        (lambda: method_named("clip_surgery", redundancy="label"), UnknownNameError, "labels"),
        (lambda: method_named("similarity", weighting="none"), UnknownNameError, "paper"),
        (lambda: as_method(3), InputError, "3"),
        (lambda: as_method(METHODS["similarity"]), InputError, "Similarity"),
    ],
)
def test_bad_settings_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call()
