"""The reports of an evaluation, with the settings of model and protocol."""

from __future__ import annotations

from collections.abc import Mapping

from clip_surgery.evaluation.datasets.dataset import describe_dataset
from clip_surgery.evaluation.execution.evaluator import Evaluator
from clip_surgery.evaluation.execution.partial_result import PartialResult
from clip_surgery.evaluation.execution.plan import digest
from clip_surgery.evaluation.reporting.report import Report
from clip_surgery.methods.method import Method


def report_settings(evaluator: Evaluator, weights: str, workers: int) -> dict[str, str]:
    """Return the settings of the model and the protocol for the reports."""
    explainer, protocol = evaluator.explainer, evaluator.plan.protocol
    backbone, templates = explainer.backbone, explainer.templates
    settings = {
        "dataset": describe_dataset(evaluator.plan.dataset),
        "backbone": backbone.name,
        "weights": weights,
        "device": f"{backbone.device.type}, {backbone.dtype}",
        "processes": str(max(1, workers)),
        "templates": f"{len(templates)}: {templates[0]} ...",
        "framing": repr(explainer.framing),
    }
    if protocol is not None:
        settings["protocol"] = repr(protocol)
    if explainer.vocabulary is not None:
        settings["vocabulary"] = digest(explainer.vocabulary)
    if backbone.companion is not None:
        settings["companion"] = backbone.companion.name
    return settings


def reports_of(
    result: PartialResult,
    methods: Mapping[str, Method],
    settings: Mapping[str, str],
    *,
    complete: bool,
) -> list[Report]:
    """Return one report per method, or none if no image was evaluated."""
    if not result.images:
        return []
    return [
        Report(
            row=row,
            values=result.values(row),
            images=result.images,
            settings={**settings, "method": repr(method)},
            failures=tuple(result.failures[index] for index in sorted(result.failures)),
            complete=complete,
        )
        for row, method in methods.items()
    ]
