"""Loose floors on scenes with the demo model, so that nobody breaks a task unnoticed.

The numbers themselves are in benchmarks/RESULTS.md. The seed is not the held-out one.
"""

import pytest

import clip_surgery as cs
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.metrics.box_iou import BoxIoU
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.foreground_attention import ForegroundAttention
from clip_surgery.evaluation.metrics.points_accuracy import PointsAccuracy
from clip_surgery.evaluation.metrics.presence_auroc import PresenceAuroc
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.metrics.tags_map import TagsMap
from clip_surgery.inputs.images import read_image

DATASET = SceneDataset(seed=2_500_009, count=120)
NAMES = tuple(DATASET.names)


@pytest.fixture(scope="module")
def values():
    return measured(
        40,
        SegmentationIoU(NAMES),
        PointsAccuracy(NAMES, mode="peaks"),
        BoxIoU(NAMES),
        TagsMap(NAMES),
        PresenceAuroc(NAMES),
        ForegroundAttention(NAMES),
    )


def measured(count, *metrics):
    """The values of metrics over the first scenes."""
    explainer = cs.load("demo", vocabulary="common", cache=False, templates="photo", batch_size=16)
    texts = explainer.encode(NAMES)
    samples = [DATASET[index] for index in range(count)]
    pictures = [read_image(sample.image) for sample in samples]
    explanation = explainer.explain_images(pictures, texts)
    for one, sample in zip(explanation, samples, strict=True):
        case = EvaluatedImage(explanation=one, sample=sample, names=NAMES, explainer=explainer)
        for metric in metrics:
            metric.update(case)
    return {k: v for metric in metrics for k, v in metric.compute().items()}


@pytest.mark.parametrize(
    ("measure", "floor"),
    [
        ("segmentation mIoU", 45),
        ("positives right", 70),
        ("negatives right", 98),
        ("box IoU", 55),
        ("tags mAP surgery", 70),
        ("tags mAP presence", 70),
        ("presence AUROC rule", 95),
    ],
)
def test_floor(values, measure, floor):
    assert values[measure] > floor


def test_surgery_on_the_class_feature_beats_the_softmax():
    values = measured(120, TagsMap(NAMES))
    assert values["tags mAP surgery"] > values["tags mAP softmax"]


def test_values_attend_to_their_own_object(values):
    own, consistent = (values[f"foreground attention {kind}"] for kind in ("q-k", "v-v"))
    assert consistent > 3 * own
