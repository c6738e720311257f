"""Results of methods and tasks on two devices, and their differences, for `cuda_agreement.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

import clip_surgery as cs
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.loading import load, wrap
from clip_surgery.methods.registry import METHODS, method_class
from clip_surgery.testing.method_case import MethodCase, encoded_texts
from clip_surgery.testing.tiny_backbones import TINY_MODELS
from clip_surgery.testing.tiny_models.companions import tiny_companion
from clip_surgery.testing.tiny_models.segmenters import SameBrightness, method_with_tiny_parts
from clip_surgery.text.features import TextFeatures

TEXTS = ("cow", "clock", "banana", "boat")
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02, "float16": 0.02}
DECISIONS = {"float32": 0.005, "bfloat16": 0.1, "float16": 0.1}
"""Accepted shares of different pixels, points or names."""
COST = "ms per image"
"""The one value of a report that differs between runs."""
NOISE = 1e-6
"""Relative change of the pixels that shows how much a method depends on rounding."""

Values = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One comparison. tolerance is None where the difference is not judged."""

    model: str
    dtype: str
    kind: str
    name: str
    difference: float
    tolerance: float | None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the difference is a number and within the tolerance."""
        return self.tolerance is None or self.difference <= self.tolerance


def difference(actual: Values, expected: Values) -> float:
    """Return the largest relative distance of floats, or share of different other entries."""
    if actual.keys() != expected.keys():
        return float("inf")
    distances = [0.0]
    for name in expected:
        got, wanted = actual[name].detach().cpu(), expected[name].detach().cpu()
        if got.shape != wanted.shape:
            return float("inf")
        if not wanted.numel():
            continue
        if not wanted.is_floating_point():
            distances.append(float((got != wanted).double().mean()))
            continue
        distance = (got.double() - wanted.double()).norm() / wanted.double().norm().clamp(min=1e-12)
        distances.append(float(distance) if bool(got.isfinite().all()) else float("inf"))
    return max(distances)


@lru_cache(maxsize=4)
def explainer_of(model: str, device: str, dtype: str) -> cs.Explainer:
    """Return the model on the device, with a small companion for the methods that need one."""
    settings: dict[str, Any] = {"templates": "photo", "cache": False, "batch_size": 4}
    if model == "demo":
        companion = tiny_companion("dino", patch_size=8, img_size=32)
        return load("demo", device=device, dtype=dtype, companion=companion, **settings)
    with torch.random.fork_rng(devices=[]):  # the builders seed the global generator
        tower = TINY_MODELS[model](seed=0).to(device, getattr(torch, dtype))
    explainer = wrap(tower, vocabulary=("tree", "cup"), **settings)
    side = explainer.backbone.tower.patch_size
    companion = tiny_companion("dino", patch_size=side, img_size=4 * side)
    return wrap(tower, vocabulary=("tree", "cup"), companion=companion, **settings)


def method_checks(
    model: str, device: str, dtype: str, names: Sequence[str] | None = None
) -> Iterator[Check]:
    """Compare what every registered method returns for two images and three texts."""
    for name in names or METHODS:
        expected = _method_values(model, "cpu", "float32", name)
        if expected is None:
            continue  # the tower lacks a part that the method needs
        judged = dtype == "float32" or not getattr(
            method_class(name), "decides_by_thresholds", False
        )
        yield compared(
            lambda where, kind, noise, name=name: _method_values(model, where, kind, name, noise),
            expected,
            Check(
                model=model,
                dtype=dtype,
                kind="methods",
                name=name,
                difference=float("inf"),
                tolerance=TOLERANCE[dtype] if judged else None,
            ),
            device,
        )


def compared(
    values: Callable[[str, str, float], Values | None],
    expected: Values,
    check: Check,
    device: str,
) -> Check:
    """Fill in the difference of a check, and widen its tolerance by what rounding explains."""
    try:
        actual = values(device, check.dtype, 0.0)
    except Exception as error:  # one broken method must not hide the others
        return replace(check, tolerance=0.0, note=f"({type(error).__name__}: {str(error)[:90]})")
    check = replace(check, difference=difference(actual or {}, expected))
    if check.tolerance is None or check.difference <= check.tolerance:
        return check
    if check.dtype == "float32":
        disturbed = difference(values("cpu", "float32", NOISE) or {}, expected)
        note = f"(disturbed pixels: {disturbed:.0e})"
        return replace(check, tolerance=max(check.tolerance, 4 * disturbed), note=note)
    own = difference(values("cpu", check.dtype, 0.0) or {}, expected)
    return replace(check, tolerance=check.tolerance + 2 * own, note=f"(CPU: {own:.0e})")


@lru_cache(maxsize=512)  # the CPU's values are compared with those of several types
def _method_values(
    model: str, device: str, dtype: str, name: str, noise: float = 0.0
) -> Values | None:
    """Everything that a method returns, or None if the tower lacks what the method needs."""
    backbone = explainer_of(model, device, dtype).backbone
    case = MethodCase(
        method=method_with_tiny_parts(name), backbone=backbone, texts=_texts(model, device, dtype)
    )
    pixels = case.pixels()
    if noise:
        generator = torch.Generator().manual_seed(1)
        pixels = pixels * (1 + noise * torch.randn(pixels.shape, generator=generator))
    try:
        evidence = case.explain(pixels).to_host()
    except UnsupportedModelError:
        return None
    found = {"patches": evidence.patches, "image": evidence.image, "texts": case.texts.labels}
    if evidence.similarity is not None:
        found["similarity"] = evidence.similarity
    if isinstance(evidence.reference_log_ratios, Tensor):
        found["log ratios"] = evidence.reference_log_ratios
    return found


@lru_cache(maxsize=4)
def _texts(model: str, device: str, dtype: str) -> TextFeatures:
    return encoded_texts(explainer_of(model, device, dtype).backbone)


def task_checks(device: str, dtype: str) -> Iterator[Check]:
    """Compare the tasks and an evaluation of the demo model on generated scenes."""
    for name in TASKS:
        expected = _task_values(name, "cpu", "float32")
        limits = DECISIONS if name in ("points", "masks", "segment", "tags") else TOLERANCE
        limit = 10 * limits[dtype] if name == "evaluation" else limits[dtype]
        check = Check(
            model="demo",
            dtype=dtype,
            kind="tasks",
            name=name,
            difference=float("inf"),
            tolerance=limit,
        )
        yield compared(
            lambda where, kind, noise, name=name: _task_values(name, where, kind),
            expected,
            check,
            device,
        )


@lru_cache(maxsize=1)
def scenes() -> list[Any]:
    return [sample.image for sample in SceneDataset(seed=5, count=4)]


@lru_cache(maxsize=4)
def explained(device: str, dtype: str) -> cs.Explanation:
    return explainer_of("demo", device, dtype)(scenes(), TEXTS)


@lru_cache(maxsize=64)
def _task_values(name: str, device: str, dtype: str) -> Values:
    return TASKS[name](explainer_of("demo", device, dtype), explained(device, dtype))


def _explanation(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    assert explanation.similarity is not None
    return {
        "scores": torch.stack(explanation.patch_scores),
        "similarity": torch.stack(explanation.similarity),
        "image": explanation.image_scores,
        "presence": cs.presence(explanation),
    }


def _heatmaps(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    return {str(index): maps for index, maps in enumerate(cs.heatmaps(explanation))}


def _points(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    found = cs.points(explanation, rule="peaks")
    return {
        f"{image} {text}": torch.from_numpy(points.xy).round().long()
        for image, row in enumerate(found)
        for text, points in enumerate(row)
    }


def _masks(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    found = cs.masks(explanation, scenes(), SameBrightness())
    return {
        f"{image} {text}": torch.zeros(0, dtype=torch.bool) if mask is None else mask.mask
        for image, row in enumerate(found)
        for text, mask in enumerate(row)
    }


def _segment(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    return {str(index): classes for index, classes in enumerate(cs.segment(explanation))}


def _tags(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    return {
        str(index): torch.tensor([TEXTS.index(tag.text) for tag in row])
        for index, row in enumerate(cs.tags(explanation))
    }


def _words(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    found = cs.words(explainer, scenes()[0], "a cow and a clock")
    return {"words": found.scores, "maps": torch.stack(found.explanation.patch_scores)}


def _decompose(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    parts = cs.decompose(explainer, scenes()[0])
    labels = explainer.encode(TEXTS).labels.cpu().float()
    return {"heads": parts.heads, "total": parts.total(), "scores": parts.scores(labels).heads}


def _evaluation(explainer: cs.Explainer, explanation: cs.Explanation) -> Values:
    methods = cs.parse_methods("similarity,clip_surgery")
    reports = cs.evaluate(explainer, SceneDataset(seed=5, count=6), methods)
    return {
        report.row: torch.tensor([v for key, v in report.values.items() if key != COST])
        for report in reports
    }


TASKS: dict[str, Callable[[cs.Explainer, cs.Explanation], Values]] = {
    "explanation": _explanation,
    "heatmaps": _heatmaps,
    "points": _points,
    "masks": _masks,
    "segment": _segment,
    "tags": _tags,
    "words": _words,
    "decompose": _decompose,
    "evaluation": _evaluation,
}
