"""The metrics by the names that protocols and reports use."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from clip_surgery.evaluation.metrics.deletion_insertion import DeletionInsertion
from clip_surgery.evaluation.metrics.explainability_iou import ExplainabilityIoU
from clip_surgery.evaluation.metrics.foreground_attention import ForegroundAttention
from clip_surgery.evaluation.metrics.metric import Metric
from clip_surgery.evaluation.metrics.noise_share import NoiseShare
from clip_surgery.evaluation.metrics.pixel_ranking import PixelRanking
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.points_accuracy import PointsAccuracy
from clip_surgery.evaluation.metrics.presence_auroc import PresenceAuroc
from clip_surgery.evaluation.metrics.score_contrast import ScoreContrast
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.metrics.tags_map import TagsMap
from clip_surgery.evaluation.trust.metric import TrustMetric

METRICS: dict[str, Callable[[tuple[str, ...]], Metric]] = {
    "score_contrast": ScoreContrast,
    "explainability_iou": ExplainabilityIoU,
    "pixel_ranking": PixelRanking,
    "pointing": Pointing,
    "noise_share": NoiseShare,
    "presence": PresenceAuroc,
    "segmentation": SegmentationIoU,
    "points": PointsAccuracy,
    "tags": TagsMap,
    "foreground_attention": ForegroundAttention,
    "deletion_insertion": DeletionInsertion,
    "randomisation": partial(TrustMetric, check="randomisation"),
    "gibberish": partial(TrustMetric, check="gibberish"),
    "absent": partial(TrustMetric, check="absent"),
    "road": partial(TrustMetric, check="road"),
    "insertion_deletion": partial(TrustMetric, check="insertion_deletion"),
    "sensitivity": partial(TrustMetric, check="sensitivity"),
    "flip": partial(TrustMetric, check="flip"),
}
"""Metrics by name; each value creates a metric for the class names of a data set."""
