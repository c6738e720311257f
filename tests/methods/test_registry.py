"""Methods by name and by name with settings."""

import sys

import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.loading import load
from clip_surgery.methods import registered
from clip_surgery.methods.clip_surgery import ClipSurgery
from clip_surgery.methods.maskclip import MaskClip
from clip_surgery.methods.registered import register_method
from clip_surgery.methods.registry import METHODS, parse_methods
from clip_surgery.methods.similarity import Similarity


@pytest.mark.parametrize(
    ("text", "methods"),
    [
        ("similarity", [Similarity()]),
        ("similarity,maskclip", [Similarity(), MaskClip()]),
        (" clip_surgery( depth = 8 ) ", [ClipSurgery(depth=8)]),
        (
            "clip_surgery(depth=2, redundancy=empty text),maskclip(residual=no,feed_forward=false)",
            [
                ClipSurgery(depth=2, redundancy="empty text"),
                MaskClip(residual=False, feed_forward=False),
            ],
        ),
        ("clip_surgery()", [ClipSurgery()]),
        ("clip_surgery(temperature=1)", [ClipSurgery(temperature=1.0)]),
    ],
)
def test_names_with_settings(text, methods):
    assert list(parse_methods(text).values()) == methods


def test_all_means_every_registered_method():
    assert tuple(parse_methods("all")) == tuple(METHODS)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", InputError, "''"),
        ("similarity,,maskclip", InputError, "''"),
        ("clip-surgery", InputError, "clip-surgery"),
        ("surgery", UnknownNameError, "clip_surgery"),
        ("clip_surgery(deep=3)", UnknownNameError, "depth"),
        ("clip_surgery(depth)", InputError, "depth=VALUE"),
        ("clip_surgery(depth=many)", InputError, "auto"),
        ("bi_modal(depth=many)", InputError, "int"),
        ("clip_surgery(depth=-1)", InputError, "-1"),
        ("maskclip(residual=perhaps)", InputError, "bool"),
        ("clip_surgery(redundancy=all)", UnknownNameError, "labels"),
        ("clip_surgery(depth=3", InputError, "depth=3"),
    ],
)
def test_an_invalid_method_text_is_an_error_that_names_it(text, error, message):
    with pytest.raises(error, match=message):
        parse_methods(text)


OUTSIDE = """
from dataclasses import dataclass
from typing import ClassVar

import torch

from clip_surgery.methods.method import Evidence
from clip_surgery.surgery.features import cosine
from clip_surgery.surgery.walk import walk


@dataclass(frozen=True, kw_only=True)
class PixelGradient:
    "Absolute gradient of the score times the pixels, summed over each patch."

    name: ClassVar[str] = "pixel_gradient"
    paper: ClassVar[str] = "a test"
    needs_gradient: ClassVar[bool] = True
    power: float = 1.0

    def __call__(self, backbone, pixels, texts):
        with torch.inference_mode(False), torch.enable_grad():
            inputs = pixels.detach().clone().requires_grad_()
            features = walk(backbone.tower, inputs)
            scores = cosine(features.image, texts.labels)
            maps = []
            for column in scores.sum(dim=0):
                [gradient] = torch.autograd.grad(column, inputs, retain_graph=True)
                influence = (gradient * inputs).sum(dim=1, keepdim=True).abs() ** self.power
                side = backbone.tower.patch_size
                maps.append(torch.nn.functional.avg_pool2d(influence, side).flatten(1))
        return Evidence(
            patches=torch.stack(maps, dim=1).detach(),
            similarity=None,
            image=scores.detach(),
            grid=features.grid,
        )
"""


@pytest.fixture
def outside(tmp_path, monkeypatch):
    (tmp_path / "method_from_outside.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "method_from_outside:PixelGradient"
    sys.modules.pop("method_from_outside", None)


def test_a_method_of_another_package_by_module_and_class(outside):
    [(name, method)] = parse_methods(f"{outside}(power=2)").items()
    assert name == f"{outside}(power=2)"
    assert method.power == 2


def test_a_method_of_another_package_can_use_gradients_of_pixels(outside):
    explainer = load("demo", method=outside)
    scene = SceneDataset(seed=11, count=1)[0]
    explanation = explainer(scene.image, ["dog", "car", "tree"])
    assert explanation.patch_scores[0].shape == (3, 12, 12)
    assert explanation.patch_scores[0].std() > 0


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module:Class", "cannot be imported as a method"),
        ("json:NoSuchClass", "cannot be imported as a method"),
        ("json:JSONDecoder", "expected a method class with a name"),
        ("json:dumps", "expected a method class with a name"),
    ],
)
def test_an_object_that_is_not_a_method_class_is_refused(path, message):
    with pytest.raises(InputError, match=message):
        parse_methods(path)


def test_a_registered_method_can_be_used_by_name(outside, monkeypatch):
    cls = type(parse_methods(outside)[outside])
    monkeypatch.setattr(registered, "_classes", names := dict(METHODS))
    register_method(cls)
    assert names["pixel_gradient"] is cls
    register_method(cls)
    other = type("Other", (cls,), {"name": "pixel_gradient"})
    with pytest.raises(InputError, match="'pixel_gradient' is registered already"):
        register_method(other)
    with pytest.raises(InputError, match="identifier"):
        register_method(type("Spaced", (cls,), {"name": "two words"}))


def test_a_notebook_cell_that_defines_a_method_can_run_twice(monkeypatch):
    monkeypatch.setattr(registered, "_classes", dict(registered._classes))

    def cell(paper):
        namespace = {"__name__": "__main__", "Similarity": METHODS["similarity"]}
        exec(f"class Mine(Similarity):\n    name = 'mine'\n    paper = '{paper}'", namespace)
        return register_method(namespace["Mine"])

    cell("first")
    assert registered._classes["mine"] is not cell("second")
    assert registered._classes["mine"].paper == "second"
