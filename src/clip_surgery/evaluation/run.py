"""Run methods over a data set and measure what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from clip_surgery.backbones.fingerprint import fingerprint
from clip_surgery.errors import InputError
from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.cost import Cost
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.metrics.explainability_iou import ExplainabilityIoU
from clip_surgery.evaluation.metrics.metric import Metric
from clip_surgery.evaluation.metrics.noise_share import NoiseShare
from clip_surgery.evaluation.metrics.pixel_ranking import PixelRanking
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.presence_auroc import PresenceAuroc
from clip_surgery.evaluation.metrics.score_contrast import ScoreContrast
from clip_surgery.evaluation.report import Report
from clip_surgery.explainer import Explainer
from clip_surgery.inputs.images import read_image
from clip_surgery.methods.method import Method

# What a report of explanations holds; each is made with the names of the data set.
EXPLANATION_METRICS: tuple[Callable[[tuple[str, ...]], Metric], ...] = (
    ScoreContrast,
    ExplainabilityIoU,
    PixelRanking,
    Pointing,
    NoiseShare,
    PresenceAuroc,
)


def evaluate(
    explainer: Explainer,
    dataset: Dataset,
    methods: Mapping[str, Method],
    *,
    metrics: Sequence[Callable[[tuple[str, ...]], Metric]] = EXPLANATION_METRICS,
    on_progress: Callable[[int], None] = lambda pictures: None,
) -> list[Report]:
    """Explain every picture of a data set for all its names by each method, and measure.

    Each picture is decoded once and the texts are encoded once for all methods.

    Args:
        explainer: the model with its templates and framing; its own method is not used.
        dataset: samples with masks.
        methods: row name to method.
        metrics: what to measure; each is called with the names.
        on_progress: told how many more pictures are done.

    Raises:
        InputError: when there is no method or no picture.
    """
    if not methods or not len(dataset):
        raise InputError(
            f"Expected at least one method and picture, but got {len(methods)} and {len(dataset)}."
        )
    names = tuple(dataset.names)
    texts = explainer.encode(names)
    running = {row: [metric(names) for metric in metrics] for row in methods}
    costs = {row: Cost(explainer.backbone.device) for row in methods}
    for start in range(0, len(dataset), explainer.batch_size):
        indices = range(start, min(start + explainer.batch_size, len(dataset)))
        samples = [dataset[index] for index in indices]
        pictures = [
            read_image(sample.image, name=f"{dataset.name} {index}")
            for index, sample in zip(indices, samples, strict=True)
        ]
        for row, method in methods.items():
            with costs[row]:
                explanation = explainer.with_method(method).explain_pictures(pictures, texts)
            for one, sample in zip(explanation, samples, strict=True):
                case = Case(explanation=one, sample=sample, names=names)
                for metric in running[row]:
                    metric.update(case)
        on_progress(len(samples))
    weights = fingerprint(explainer.backbone.model)
    return [
        Report(
            row=row,
            values={
                **{k: v for metric in running[row] for k, v in metric.compute().items()},
                **costs[row].values(len(dataset)),
            },
            pictures=len(dataset),
            settings={
                "dataset": repr(dataset),
                "backbone": explainer.backbone.name,
                "weights": weights,
                "method": repr(method),
                "templates": f"{len(explainer.templates)}: {explainer.templates[0]} ...",
                "framing": repr(explainer.framing),
            },
        )
        for row, method in methods.items()
    ]
