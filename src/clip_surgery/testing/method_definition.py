"""Contracts on the class of a method, on the models it refuses, and on half precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace

import torch

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.method import Method
from clip_surgery.testing.expectations import expect
from clip_surgery.testing.method_case import MethodCase, encoded_texts
from clip_surgery.testing.tiny_models.companions import with_tiny_companion
from clip_surgery.testing.tiny_models.open_clip import tiny_open_clip


def check_settings(method: Method) -> None:
    """The class is a frozen dataclass with name and paper, and its repr shows every setting."""
    cls = type(method)
    expect(is_dataclass(cls), "a dataclass", cls)
    frozen = cls.__dataclass_params__.frozen  # type: ignore[attr-defined]
    expect(frozen, "a frozen dataclass", "one whose settings can be changed")
    expect(
        isinstance(method.name, str) and method.name.isidentifier(),
        "a `name` that is an identifier",
        repr(getattr(method, "name", None)),
    )
    paper = getattr(method, "paper", None)
    expect(isinstance(paper, str) and bool(paper), "a `paper` that says the source", repr(paper))
    needs_gradient = getattr(method, "needs_gradient", None)
    expect(isinstance(needs_gradient, bool), "a `needs_gradient` of bool", repr(needs_gradient))
    for setting in fields(cls):  # type: ignore[arg-type]
        expect(f"{setting.name}=" in repr(method), f"a repr with {setting.name}", repr(method))
    expect(replace(method) == method, "a copy with equal settings to be equal", "an unequal copy")  # type: ignore[type-var]


def check_half_precision(method: Method) -> None:
    """With weights in bfloat16 and float16, scores are finite float32 and near the exact ones.

    Scores of a method with a true `decides_by_thresholds` need not be near. The contract runs on a
    small ViT. Nothing is checked if the method does not support it.
    """
    with torch.random.fork_rng(devices=[]):
        exact = with_tiny_companion(wrap_backbone(tiny_open_clip(seed=0)))
        halves = [
            with_tiny_companion(wrap_backbone(tiny_open_clip(seed=0).to(dtype)))
            for dtype in _HALF_TYPES
        ]
    texts = encoded_texts(exact)
    try:
        expected = MethodCase(method=method, backbone=exact, texts=texts)
        reference = expected.explain(expected.pixels()).patches
    except UnsupportedModelError:
        return
    span = float(reference.max() - reference.min())
    for backbone in halves:
        case = MethodCase(method=method, backbone=backbone, texts=texts)
        patches = case.explain(case.pixels()).patches
        expect(patches.dtype == torch.float32, "patches of torch.float32", patches.dtype)
        finite = bool(torch.isfinite(patches).all())
        expect(finite, f"finite scores in {backbone.dtype}", "NaN or infinite values")
        if getattr(method, "decides_by_thresholds", False):
            continue
        difference = float((patches - reference).abs().max())
        expect(
            difference < 0.1 * span,
            f"scores in {backbone.dtype} within a tenth of the range of {span:.3g}",
            f"a difference of {difference:.3g}",
        )


_HALF_TYPES = (torch.bfloat16, torch.float16)


def missing_class_token(method: Method, backbone: Backbone) -> bool:
    """Whether the method declares that it needs a class token, and the model has none to offer.

    The image feature must be computed from the class token alone, too.
    """
    needs: Iterable[str] = getattr(method, "needs", ())
    tower = backbone.tower
    has_class_token = tower.prefix_tokens > 0 and tower.pool_reads == "prefix"
    return "class token" in needs and not has_class_token


def check_refusal(method: Method, error: UnsupportedModelError) -> None:
    """The error for an unsupported model does not advise the method itself."""
    expect(
        method.name not in error.alternatives,
        f"alternatives to {method.name}",
        f"{method.name} among {', '.join(error.alternatives)}",
    )
