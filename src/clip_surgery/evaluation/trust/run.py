"""Checks of methods on a data set, image by image, so that an interrupted run can go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from clip_surgery.backbones.backbone import Backbone
from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import Dataset, describe_dataset
from clip_surgery.evaluation.execution.journal import DamagedPartError, Journal
from clip_surgery.evaluation.intervals import Interval
from clip_surgery.evaluation.trust.case import ABSENT, Case, MethodOnCase, gibberish
from clip_surgery.evaluation.trust.checks import CHECKS, Checked, measure_all
from clip_surgery.evaluation.trust.perturbation import RandomSets
from clip_surgery.evaluation.trust.random_order import RandomOrder
from clip_surgery.evaluation.trust.randomised_models import randomised_models
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.methods.method import Method
from clip_surgery.text.features import TextFeatures

RANDOM_ORDER = "random order"
_OTHERS = 3
_SEARCHED = 20
"""Number of images among which those without the target are searched for a mosaic."""


@dataclass(frozen=True, kw_only=True)
class TrustReport:
    """Values of all checks of some methods.

    Attributes:
        values: for each method and check, the mean over images with its interval.
        images: number of images.
        model: name of the model.
        dataset: the data set, as text.
    """

    values: dict[str, dict[str, Interval]]
    images: int
    model: str
    dataset: str

    def beats(self, method: str, baseline: str, check: str) -> bool | None:
        """Return whether a method is better than a baseline by a check, with intervals apart.

        Returns:
            None if one of them has no value.
        """
        of_method = self.values.get(method, {}).get(check)
        of_baseline = self.values.get(baseline, {}).get(check)
        if of_method is None or of_baseline is None:
            return None
        return (
            of_method.above(of_baseline)
            if CHECKS[check].higher_is_better
            else of_baseline.above(of_method)
        )

    def to_values(self) -> dict[str, object]:
        """Return the report as values for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Return a Markdown table with a row for each method."""
        shown = [name for name in CHECKS if any(name in row for row in self.values.values())]
        heads = [f"{CHECKS[n].title} {'↑' if CHECKS[n].higher_is_better else '↓'}" for n in shown]
        lines = [f"| method | {' | '.join(heads)} |", "|---" * (len(shown) + 1) + "|"]
        for method, row in self.values.items():
            cells = [row[name].text() if name in row else "-" for name in shown]
            lines.append(f"| {method} | {' | '.join(cells)} |")
        return "\n".join(lines)


def check_methods(
    explainer: Explainer,
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    checks: Sequence[str] = tuple(CHECKS),
    seed: int = 0,
    journal: str | Path | None = None,
    on_progress: Callable[[int], object] = lambda _: None,
) -> TrustReport:
    """Check whether the maps of methods can be believed, without masks.

    For each image, the map of one of its classes is checked; random maps are added as a baseline.
    The model is not changed: randomised weights are those of copies.

    Args:
        explainer: the model.
        dataset: images with the classes that they contain. Masks are not used. Images without a
            class are skipped.
        methods: the methods by their names in the report.
        checks: names of the checks, keys of `CHECKS`.
        seed: seed of all random choices.
        journal: folder for the values of finished images, with which an interrupted run goes on.
        on_progress: called with the number of images that were finished.

    Raises:
        InputError: if a check is unknown, no image has a class, or the journal is of another run.

    Example:
        >>> from clip_surgery.evaluation import SceneDataset
        >>> from clip_surgery.loading import load
        >>> from clip_surgery.methods.registry import parse_methods
        >>> explainer = load("demo", cache=False, templates="photo")
        >>> scenes = SceneDataset(seed=5, count=2)
        >>> report = check_methods(explainer, scenes, parse_methods("similarity"), checks=["flip"])
        >>> list(report.values)
        ['similarity', 'random order']
    """
    unknown = [name for name in checks if name not in CHECKS]
    if unknown or not checks:
        raise InputError(f"Expected checks among {', '.join(CHECKS)}, but got {unknown}.")
    methods = {**methods, RANDOM_ORDER: RandomOrder()}
    kept = None
    if journal is not None:
        identity = {
            "dataset": describe_dataset(dataset),
            "backbone": f"{explainer.backbone.name} {explainer.backbone.fingerprint()}",
            "methods": repr(methods),
            "settings": repr((tuple(checks), seed, explainer.templates, explainer.framing)),
        }
        kept = Journal.open(journal, identity, part_size=1)
    run = _Run(explainer=explainer, dataset=dataset, methods=methods, checks=checks, seed=seed)
    rows = []
    for index in range(len(dataset)):
        rows.append(run.read_or_measure(index, kept))
        on_progress(1)
    collected: dict[str, dict[str, list[float]]] = {method: {} for method in methods}
    for row in filter(None, rows):
        for method, values in row.items():
            for check, value in values.items():
                collected[method].setdefault(check, []).append(value)
    if not any(rows):
        raise InputError(f"{dataset.name}: no image contains a class, so no map can be checked.")
    return TrustReport(
        values={
            method: {check: Interval.of_mean(numbers) for check, numbers in checks_.items()}
            for method, checks_ in collected.items()
        },
        images=sum(map(bool, rows)),
        model=explainer.backbone.name,
        dataset=describe_dataset(dataset),
    )


Row = dict[str, dict[str, float]]
"""Values of one image by method and check."""


class _Run:
    """What all images of a run share. Randomised models are made when they are first needed."""

    def __init__(
        self,
        *,
        explainer: Explainer,
        dataset: Dataset,
        methods: Mapping[str, Method],
        checks: Sequence[str],
        seed: int,
    ) -> None:
        self.explainer, self.dataset, self.checks = explainer, dataset, tuple(checks)
        self.explainers = {row: explainer.with_method(method) for row, method in methods.items()}
        self.seed = seed
        self.features: tuple[TextFeatures, TextFeatures] | None = None
        self.randomised: dict[str, Backbone] | None = None

    def read_or_measure(self, index: int, journal: Journal | None) -> Row | None:
        """Return the values of an image from the journal, or measure and store them."""
        if journal is None:
            return self.measure(index)
        try:
            content = journal.read(index)
        except DamagedPartError:
            content = None
        if content is None:
            row = self.measure(index)
            journal.write(index, json.dumps(row).encode())
            return row
        stored: Row | None = json.loads(content)
        return stored

    def measure(self, index: int) -> Row | None:
        """Return the values of an image, or None if it has no class."""
        case = self.case(index)
        if case is None:
            return None
        if self.randomised is None:
            needed = "randomisation" in self.checks
            self.randomised = (
                randomised_models(self.explainer.backbone, seed=self.seed) if needed else {}
            )
        shared = RandomSets(case=case)
        return {
            row: measure_all(
                Checked(
                    on=MethodOnCase(case=case, explainer=explainer),
                    shared=shared,
                    randomised=self.randomised,
                ),
                self.checks,
            )
            for row, explainer in self.explainers.items()
        }

    def case(self, index: int) -> Case | None:
        """Return the case of an image, or None if it has no class."""
        names = tuple(self.dataset.names)
        sample = self.dataset[index]
        present = [number for number, name in enumerate(names) if name in sample.present]
        if not present:
            return None
        generator = np.random.default_rng([self.seed, index])
        target = int(generator.choice(present))
        unknown = {names.index(name) for name in sample.unsure if name in names}
        absent = [n for n in range(len(names)) if n not in present and n not in unknown]
        chosen = generator.choice(absent, min(ABSENT, len(absent)), replace=False)
        if self.features is None:
            self.features = (
                self.explainer.encode(names),
                self.explainer.encode(gibberish(self.seed)),
            )
        return Case(
            explainer=self.explainer,
            image=read_image(sample.image, name=f"image {index}"),
            classes=self.features[0],
            target=target,
            absent=tuple(int(number) for number in chosen),
            nonsense=self.features[1],
            others=self._others(index, names[target]) if "mosaic" in self.checks else (),
            seed=int(generator.integers(2**31)),
        )

    def _others(self, index: int, target: str) -> tuple[InputImage, ...]:
        """Return three images without the target, the next ones in the data set."""
        images: list[InputImage] = []
        for step in range(1, min(_SEARCHED, len(self.dataset))):
            sample = self.dataset[(index + step) % len(self.dataset)]
            if target not in sample.present and target not in sample.unsure:
                images.append(read_image(sample.image, name=f"image {index + step}"))
            if len(images) == _OTHERS:
                break
        return tuple(images)
