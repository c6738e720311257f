"""Evaluations of a small model on miniature data sets, from the folder to the report."""

import numpy as np
import pytest

import clip_surgery as cs
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.evaluation.execution.run import evaluate
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.metrics.tags_map import TagsMap
from clip_surgery.methods.registry import parse_methods
from tests.evaluation.datasets.small_trees import make_voc2007, make_voc2012
from tests.towers import tiny_open_clip

METHODS = parse_methods("clip_surgery(depth=1)")


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(tiny_open_clip(seed=0), templates="name", cache=False, batch_size=2)


@pytest.fixture
def voc(tmp_path):
    rng = np.random.default_rng(0)
    masks = {}
    for number in range(4):
        mask = np.zeros((40, 40 + 8 * number), dtype=np.int64)
        mask[4:20, 4:24] = rng.integers(1, 21)
        mask[24:36, 8:30] = rng.integers(1, 21)
        mask[20:24] = 255
        masks[f"2007_{number:06d}"] = mask
    make_voc2012(tmp_path, masks)
    return tmp_path


def test_a_report_equals_the_metrics_fed_by_hand(voc, explainer):
    dataset = open_dataset("voc20", voc)
    [report] = evaluate(explainer, dataset, METHODS, metrics=(Pointing, SegmentationIoU))
    metrics = [Pointing(dataset.names), SegmentationIoU(dataset.names)]
    own = explainer.with_method(*METHODS.values())
    for index in range(4):
        sample = dataset[index]
        case = EvaluatedImage(
            explanation=own([sample.image], dataset.names), sample=sample, names=dataset.names
        )
        for metric in metrics:
            metric.update(case)
    assert report.images == 4
    for metric in metrics:
        for name, value in metric.compute().items():
            assert report.values[name] == pytest.approx(value, abs=1e-3)
    assert report.settings["dataset"] == repr(dataset)
    assert str(voc) not in str(report.to_json())


def test_a_broken_image_is_counted_and_the_rest_measured(voc, explainer):
    (voc / "VOCdevkit/VOC2012/JPEGImages/2007_000002.jpg").write_bytes(b"no jpeg")
    [report] = evaluate(explainer, open_dataset("voc21", voc), METHODS, metrics=(Pointing,))
    assert report.images == 3
    assert len(report.failures) == 1
    assert "2007_000002.jpg" in report.failures[0]


def test_tags(tmp_path, explainer):
    flags = {f"{number:06d}": {"dog": number % 2, "cow": 1 - number % 2} for number in range(4)}
    make_voc2007(tmp_path, flags)
    dataset = open_dataset("voc07", tmp_path, difficult="absent")
    [report] = evaluate(explainer, dataset, METHODS, metrics=(TagsMap,))
    assert report.images == 4
    assert 0 <= report.values["tags mAP softmax"] <= 100
