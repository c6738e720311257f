"""Protocols of the released codes, and the probability of the best name as background rule."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

import clip_surgery as cs
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.registry import DATASETS
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.protocols.benchmarks import (
    BENCHMARKS,
    FAMILIES,
    SOURCES,
    benchmark_protocol,
    benchmark_setting,
)
from clip_surgery.evaluation.protocols.registry import PROTOCOLS, protocol_for
from clip_surgery.methods.registry import parse_methods
from tests.evaluation.squares import Squares


def test_every_family_has_every_benchmark_and_a_source():
    assert set(FAMILIES) == set(SOURCES)
    assert set(BENCHMARKS) <= set(DATASETS)
    for family in FAMILIES:
        for dataset in BENCHMARKS:
            protocol = benchmark_protocol(family, dataset)
            assert protocol.name == f"{family} on {dataset}"
            counts = dataset in ("voc21", "context60", "coco")
            assert protocol.background == ("probability" if counts else "none")
            [method] = parse_methods(protocol.methods[0]).values()
            assert method.name == family


@pytest.mark.parametrize(
    ("family", "dataset", "expected"),
    [
        ("sc_clip", "voc21", (336, 224, 112, 0.15, 50)),
        ("sc_clip", "cityscapes", (560, 224, 112, 0.0, 40)),
        ("sfp", "ade20k", (384, 224, 112, 0.0, 40)),
        ("res_clip", "voc21", (336, None, 112, 0.1, 40)),
        ("proxy_clip", "voc20", (336, 336, 112, 0.0, 40)),
        ("trident", "cityscapes", (688, 336, 224, 0.0, 40)),
        ("trident", "voc20", (336, 336, 112, 0.0, 40)),
        ("free_cp", "context59", (448, 384, 112, 0.0, 40)),
        ("ita_clip", "context60", (336, 224, 28, 0.1, 55)),
    ],
)
def test_settings_of_the_released_codes(family, dataset, expected):
    setting = benchmark_setting(family, dataset)
    actual = (setting.short_side, setting.crop, setting.stride, setting.threshold)
    assert (*actual, setting.logit_scale) == expected


def test_a_family_is_a_protocol_of_its_data_set():
    assert protocol_for("sc_clip", "voc21") == benchmark_protocol("sc_clip", "voc21")
    assert protocol_for("scenes", "voc21") == PROTOCOLS["scenes"]
    with pytest.raises(UnknownNameError, match="sc_clip"):
        protocol_for("sc_clap", "voc21")
    with pytest.raises(UnknownNameError, match="context59"):
        protocol_for("sc_clip", "scenes")
    with pytest.raises(UnknownNameError, match="proxy_clip"):
        benchmark_setting("proxyclip", "voc21")


def test_the_probability_of_the_best_name_is_a_softmax_at_each_pixel():
    texts = [f"text {index}" for index in range(20)]
    explainer = cs.load("demo", vocabulary=None, templates="photo", cache=False)
    explanation = explainer(Image.radial_gradient("L").resize((40, 56)), texts)
    maps = explanation.framings[0].restore_map(explanation.similarity[0])
    probabilities = (30 * maps).softmax(dim=0)
    best, number = probabilities.max(dim=0)
    threshold = float(best.median())
    [actual] = cs.segment(
        explanation, background="probability", threshold=threshold, logit_scale=30
    )
    far = (best - threshold).abs() > 1e-5
    expected = number.where(best >= threshold, -1)
    assert torch.equal(actual[far], expected[far])
    assert {-1} < set(actual.unique().tolist())
    with pytest.raises(InputError, match="logit_scale"):
        cs.segment(explanation, background="probability", logit_scale=0)


def test_pixels_without_class_are_of_the_class_background_of_the_data_set():
    """With a threshold that no name reaches, all pixels are background."""
    squares = Squares(1)
    explainer = cs.load("demo", vocabulary=None, templates="photo", cache=False)
    sample = squares[0]
    names = tuple(squares.names)
    values = {}
    for first in (names[0], "background"):
        renamed = (first, *names[1:])
        explanation = explainer(sample.image, list(renamed))
        metric = SegmentationIoU(
            renamed,
            labels="all",
            background="probability",
            threshold=1.0,
            logit_scale=10.0,
        )
        present = frozenset(
            "background" if name == names[0] and first == "background" else name
            for name in sample.present
        )
        metric.update(
            EvaluatedImage(
                explanation=explanation, sample=replace(sample, present=present), names=renamed
            )
        )
        values[first] = metric.confusion.values
    assert values[names[0]][:, -1].sum() == values[names[0]].sum()
    assert values["background"][:, 0].sum() == values["background"].sum()
