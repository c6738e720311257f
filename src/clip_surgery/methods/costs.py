"""What a method costs beside the plain forward pass of the image tower.

`measured_costs` reads the measurements that came with the package, made by `benchmarks/costs.py`.
`measure_costs` measures on this machine. Both are ratios of times: each call of a method alternates
with a plain forward pass. On the CPU the time is that of the processor, which depends little on
other programs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from statistics import median

import torch
from torch.nn.functional import normalize

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.methods.method import Method
from clip_surgery.surgery.walk import walk
from clip_surgery.text.features import TextFeatures

TEXTS = 20
"""Number of texts of a measurement."""


@dataclass(frozen=True, kw_only=True)
class MeasuredCosts:
    """Times of methods divided by that of the plain forward pass.

    Attributes:
        source: model, size, number of texts, machine and date of the measurement.
        ratios: by method, as on the command line.
    """

    source: str
    ratios: Mapping[str, float]


def measured_costs() -> MeasuredCosts:
    """Return the measurements that came with the package.

    Example:
        >>> measured_costs().ratios["similarity"] < 2
        True
    """
    content = json.loads((files("clip_surgery.methods") / "costs.json").read_text("utf-8"))
    return MeasuredCosts(source=content["source"], ratios=content["ratios"])


def measure_costs(
    backbone: Backbone,
    methods: Mapping[str, Method],
    *,
    side: int | None = None,
    repeats: int = 5,
    on_method: Callable[[str], None] = lambda name: None,
) -> dict[str, float]:
    """Return the time of each method divided by that of the plain forward pass.

    The image is random and square, and the texts are random too; times do not depend on them.

    Args:
        backbone: the model; a companion's time is part of a method that needs it.
        methods: the methods by name. Those that the model does not support are left out.
        side: side of the image in pixels; the model's own by default.
        repeats: number of pairs of calls, of whose ratios the median is returned.
        on_method: called with the name of each method before it is measured.
    """
    tower = backbone.tower
    side = max(1, round((side or backbone.image_size) / tower.patch_size)) * tower.patch_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(1, 3, side, side, generator=generator)
    pixels = pixels.to(backbone.device, backbone.dtype)
    with torch.no_grad():
        width = walk(tower, pixels).image.shape[-1]
    features = normalize(torch.randn(TEXTS + 1, width, generator=generator), dim=-1)
    features = features.to(backbone.device)
    texts = TextFeatures(
        texts=tuple(f"text {index}" for index in range(TEXTS)),
        labels=features[:-1],
        empty=features[-1],
    )
    ratios = {}
    for name, method in methods.items():
        on_method(name)
        call = partial(method, backbone, pixels, texts)
        try:
            _seconds(backbone, call, with_gradient=method.needs_gradient)
        except UnsupportedModelError:
            continue
        pairs = []
        for _ in range(repeats):
            plain = _seconds(backbone, partial(walk, tower, pixels), with_gradient=False)
            of_method = _seconds(backbone, call, with_gradient=method.needs_gradient)
            pairs.append(of_method / plain)
        ratios[name] = median(pairs)
    return ratios


def _seconds(backbone: Backbone, call: Callable[[], object], *, with_gradient: bool) -> float:
    """Seconds of a call: of the processor on the CPU, otherwise of the clock."""
    on_cpu = backbone.device.type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    with torch.set_grad_enabled(with_gradient):
        _wait_for(backbone)
        start = clock()
        call()
        _wait_for(backbone)
        return clock() - start


def _wait_for(backbone: Backbone) -> None:
    if backbone.device.type == "cuda":
        torch.cuda.synchronize(backbone.device)
