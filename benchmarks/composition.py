"""The composition study: segmentation of generated scenes by every method, piece and combination.

Stages, each of which needs the ones before:

* methods: every method with a dense similarity, at several sizes of the input;
* pieces: one piece at a time on the best method of the default size, such as a refinement;
* search: successive halving over all combinations; of each round a third goes on to three times as
  many scenes;
* held out: the best combinations and the preset on twice as many scenes that no choice has used.

Scenes of the first three stages are those of `TUNING_SEED`. Every measurement is written to the
file of results as soon as it is made, and the same command goes on from there. `--minutes` stops
after the measurement that passes this time.

    OMP_NUM_THREADS=1 nice -n 10 python benchmarks/composition.py --scenes 48 --minutes 30
    python docs/make_composition.py                               the page with tables and plot
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path

import torch
from timing import machine

from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.explainer import Explainer
from clip_surgery.framing import FramingRule
from clip_surgery.inputs.images import read_image
from clip_surgery.loading import load
from clip_surgery.methods.dense import DenseMethod
from clip_surgery.methods.registry import METHODS
from clip_surgery.presets import PRESETS
from clip_surgery.refinement.local_affinity import PamrRefinement
from clip_surgery.refinement.registry import Refinement
from clip_surgery.storage.atomic_file import writing_atomically

TUNING_SEED, HELD_OUT_SEED = 2_500_009, 2_000_003
SIZES = (96, 192, 288)
THRESHOLDS = (0.4, 0.5, 0.6, 0.7)
BATCH = 8
"""Scenes that are explained at a time."""


@dataclass(frozen=True, kw_only=True)
class Composition:
    """One way to segment an image.

    Attributes:
        method: the method, as on the command line.
        size: side of the input in pixels.
        refinement: name of a refinement of `REFINEMENTS`.
        threshold: lowest level of the best class, otherwise a pixel is background.
        min_presence: names that are less likely than this do not compete; None for no such rule.
        names: whether the "present" or "all" 64 names compete.
    """

    method: str = "clip_surgery(redundancy=none)"
    size: int = 96
    refinement: str = "none"
    threshold: float = 0.6
    min_presence: float | None = None
    names: str = "present"


REFINEMENTS: dict[str, str | Refinement] = {
    "none": "none",
    "laplacian": "laplacian",
    "guided": "guided",
    "pamr": "pamr",
    "pixel graph": "pixel graph",
    "pamr, dilation 2 of 96": PamrRefinement(dilation=2, cells=96),
    "pamr, dilation 4 of 224": PamrRefinement(dilation=4),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("docs/composition.json"))
    parser.add_argument("--scenes", type=int, default=48, help="scenes of the first two stages")
    parser.add_argument(
        "--larger",
        type=int,
        default=99,
        help="how many of the best methods are tried at 192, 288 px",
    )
    parser.add_argument("--searched", type=int, default=3, help="how many methods are combined")
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    study = Study(options.out, stop_at=time.monotonic() + 60 * options.minutes)
    try:
        run_stages(study, options.scenes, options.larger, options.searched)
    except TimeoutError:
        print("time is up; the same command goes on from here", flush=True)


def run_stages(study: Study, scenes: int, larger: int, searched: int) -> None:
    """Measure the four stages in order."""
    methods = [
        Composition(method=name, threshold=threshold)
        for name, threshold in product(dense_methods(), (0.5, 0.6))
    ]
    study.measure("methods", methods, TUNING_SEED, scenes)
    ranked = study.best(methods, TUNING_SEED, scenes)
    names = list(dict.fromkeys(composition.method for composition in ranked))
    study.measure("pieces", list(pieces_on(ranked[0])), TUNING_SEED, scenes)
    candidates, count = list(combinations(names[:searched])), max(12, scenes // 4)
    while len(candidates) > 3:
        study.measure("search", candidates, TUNING_SEED, count)
        kept = max(3, len(candidates) // 3)
        candidates = study.best(candidates, TUNING_SEED, count)[:kept]
        count *= 3
    preset = PRESETS["fast"]
    chosen = Composition(refinement=preset.refine, threshold=preset.threshold)
    finals = [Composition(), chosen, candidates[0]]
    everything = [replace(c, names="all") for c in finals[:2]]
    pruned = [replace(c, min_presence=p) for c in everything for p in (0.1, 0.3, 0.5)]
    given = [replace(chosen, min_presence=preset.min_presence), *candidates[1:]]
    study.measure("held out", [*finals, *given, *pruned, *everything], HELD_OUT_SEED, 2 * scenes)
    sized = [
        replace(c, size=size) for size in SIZES[1:] for c in ranked if c.method in names[:larger]
    ]
    study.measure("methods", sized, TUNING_SEED, scenes)


def dense_methods() -> list[str]:
    """Names of all dense methods that need no companion, and GEM as it suits this model.

    `reversed` is left out, because its maps are negated and it has no dense similarity.
    """
    names = [
        name
        for name, cls in METHODS.items()
        if issubclass(cls, DenseMethod) and "companion" not in cls.needs and name != "reversed"
    ]
    return [*names, "gem(sharpness=8)", "clip_surgery(depth=6)"]


def pieces_on(base: Composition) -> Iterator[Composition]:
    """One change at a time."""
    yield base
    for name in REFINEMENTS:
        yield replace(base, refinement=name)
    for threshold in THRESHOLDS:
        yield replace(base, threshold=threshold)
    for size in SIZES:
        yield replace(base, size=size)
    joined = base.method[:-1] + ", " if base.method.endswith(")") else base.method + "("
    yield replace(base, method=f"{joined}repair_outliers=yes)")
    for names in ("present", "all"):
        for min_presence in (None, 0.1, 0.3, 0.5):
            yield replace(base, names=names, min_presence=min_presence)


def combinations(methods: Sequence[str]) -> Iterator[Composition]:
    """All combinations of some methods with sizes, refinements and thresholds.

    The Laplacian and the graph of pixels are left out, which lost as single pieces.
    """
    refinements = [name for name in REFINEMENTS if "pamr" in name or name == "guided"]
    for method, size, refinement, threshold in product(methods, SIZES[:2], refinements, (0.5, 0.6)):
        yield Composition(method=method, size=size, refinement=refinement, threshold=threshold)


class Study:
    """Measurements in a file, which is read first so that none is made twice."""

    def __init__(self, path: Path, *, stop_at: float) -> None:
        self.path, self.stop_at = path, stop_at
        self.explainer = load("demo", batch_size=BATCH, vocabulary="small")
        self.results: dict[str, dict[str, object]] = {}
        if path.exists():
            self.results = json.loads(path.read_text(encoding="utf-8"))["results"]

    def measure(
        self, stage: str, compositions: Sequence[Composition], seed: int, count: int
    ) -> None:
        """Measure the compositions that are missing, those of one method and size together.

        Raises:
            TimeoutError: if the time is up.
        """
        missing = [
            c for c in dict.fromkeys(compositions) if self._key(c, seed, count) not in self.results
        ]
        groups: dict[tuple[str, int], list[Composition]] = {}
        for composition in missing:
            groups.setdefault((composition.method, composition.size), []).append(composition)
        for (method, size), group in groups.items():
            if time.monotonic() > self.stop_at:
                raise TimeoutError
            values = segmentation_of(self.explainer, method, size, group, seed=seed, count=count)
            for composition, measured in zip(group, values, strict=True):
                entry = {**asdict(composition), "stage": stage, "seed": seed, "scenes": count}
                self.results[self._key(composition, seed, count)] = {**entry, **measured}
            print(f"{stage}: {method} at {size} px, {len(group)} compositions", flush=True)
            content = {"machine": machine(), "results": self.results}
            with writing_atomically(self.path) as file:
                file.write(f"{json.dumps(content, indent=1)}\n".encode())

    def best(self, compositions: Sequence[Composition], seed: int, count: int) -> list[Composition]:
        """The compositions by their mIoU, the best first."""
        return sorted(
            compositions,
            key=lambda c: self.results[self._key(c, seed, count)]["mIoU"],  # type: ignore[arg-type,return-value]
            reverse=True,
        )

    @staticmethod
    def _key(composition: Composition, seed: int, count: int) -> str:
        return json.dumps({**asdict(composition), "seed": seed, "scenes": count}, sort_keys=True)


def segmentation_of(
    explainer: Explainer,
    method: str,
    size: int,
    compositions: Sequence[Composition],
    *,
    seed: int,
    count: int,
) -> list[dict[str, float]]:
    """Return mIoU, mIoU of objects and accuracy of compositions that share method and size."""
    scenes = scenes_of(seed, count)
    sized = replace(explainer, framing=FramingRule(size=size)).with_method(method)
    names = tuple(scenes.names)
    texts = sized.encode(names)
    metrics = [
        SegmentationIoU(
            names,
            labels=c.names,  # type: ignore[arg-type]
            background="threshold",
            threshold=c.threshold,
            min_presence=c.min_presence,
            refine=REFINEMENTS[c.refinement],
        )
        for c in compositions
    ]
    for start in range(0, count, BATCH):
        samples = [scenes[index] for index in range(start, min(start + BATCH, count))]
        images = [read_image(sample.image) for sample in samples]
        whole = sized.explain_images(images, texts)
        for sample, explanation in zip(samples, whole, strict=True):
            evaluated = EvaluatedImage(explanation=explanation, sample=sample, names=names)
            for metric in metrics:
                metric.update(evaluated)
    return [_values(metric) for metric in metrics]


def _values(metric: SegmentationIoU) -> dict[str, float]:
    values = metric.compute()
    short = {"mIoU": "mIoU", "objects": "mIoU objects", "accuracy": "accuracy"}
    return {key: round(values[f"segmentation {name}"], 3) for key, name in short.items()}


@cache
def scenes_of(seed: int, count: int) -> SceneDataset:
    return SceneDataset(seed=seed, count=count)


if __name__ == "__main__":
    main()
