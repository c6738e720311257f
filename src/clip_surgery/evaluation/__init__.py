"""Evaluation of methods on data sets: data sets, metrics, protocols and reports.

Everything that a program needs is exported here and imported when it is first used:

    from clip_surgery.evaluation import evaluate, markdown_table, open_dataset

A data set of your own is any object that follows `Dataset`; a metric of your own is any class that
follows `Metric`. `register_dataset` gives a data set a name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from clip_surgery.plugins import lazy_names

if TYPE_CHECKING:
    from clip_surgery.evaluation.calibration import calibrate_presence
    from clip_surgery.evaluation.datasets.class_names import ClassNames
    from clip_surgery.evaluation.datasets.dataset import Dataset, Sample
    from clip_surgery.evaluation.datasets.prompted_classes import PromptedClasses
    from clip_surgery.evaluation.datasets.registry import (
        DATASETS,
        open_dataset,
        register_dataset,
    )
    from clip_surgery.evaluation.datasets.scenes.scene_dataset import SceneDataset
    from clip_surgery.evaluation.datasets.subset import Subset
    from clip_surgery.evaluation.execution.run import EvaluationInterrupted, evaluate
    from clip_surgery.evaluation.intervals import Interval
    from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
    from clip_surgery.evaluation.metrics.metric import Metric
    from clip_surgery.evaluation.metrics.registry import METRICS
    from clip_surgery.evaluation.protocols.protocol import Protocol
    from clip_surgery.evaluation.protocols.registry import (
        PROTOCOLS,
        default_protocol,
        protocol_named,
    )
    from clip_surgery.evaluation.reporting.report import (
        Report,
        load_reports,
        markdown_table,
        save_reports,
    )
    from clip_surgery.evaluation.trust.checks import CHECKS
    from clip_surgery.evaluation.trust.run import TrustReport, check_methods

_MODULES = {
    "CHECKS": "trust.checks",
    "ClassNames": "datasets.class_names",
    "DATASETS": "datasets.registry",
    "Dataset": "datasets.dataset",
    "EvaluatedImage": "metrics.evaluated_image",
    "EvaluationInterrupted": "execution.run",
    "Interval": "intervals",
    "METRICS": "metrics.registry",
    "Metric": "metrics.metric",
    "PROTOCOLS": "protocols.registry",
    "PromptedClasses": "datasets.prompted_classes",
    "Protocol": "protocols.protocol",
    "Report": "reporting.report",
    "Sample": "datasets.dataset",
    "SceneDataset": "datasets.scenes.scene_dataset",
    "Subset": "datasets.subset",
    "TrustReport": "trust.run",
    "calibrate_presence": "calibration",
    "check_methods": "trust.run",
    "default_protocol": "protocols.registry",
    "evaluate": "execution.run",
    "load_reports": "reporting.report",
    "markdown_table": "reporting.report",
    "open_dataset": "datasets.registry",
    "protocol_named": "protocols.registry",
    "register_dataset": "datasets.registry",
    "save_reports": "reporting.report",
}

__all__ = [
    "CHECKS",
    "DATASETS",
    "METRICS",
    "PROTOCOLS",
    "ClassNames",
    "Dataset",
    "EvaluatedImage",
    "EvaluationInterrupted",
    "Interval",
    "Metric",
    "PromptedClasses",
    "Protocol",
    "Report",
    "Sample",
    "SceneDataset",
    "Subset",
    "TrustReport",
    "calibrate_presence",
    "check_methods",
    "default_protocol",
    "evaluate",
    "load_reports",
    "markdown_table",
    "open_dataset",
    "protocol_named",
    "register_dataset",
    "save_reports",
]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
