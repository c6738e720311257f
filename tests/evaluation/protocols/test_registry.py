"""Protocols: how they change an explainer and metrics, and which combinations are refused."""

import dataclasses
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest

import clip_surgery as cs
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.registry import DATASETS
from clip_surgery.evaluation.metrics.registry import METRICS
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.protocols.registry import (
    PROTOCOLS,
    Protocol,
    default_protocol,
    protocol_named,
)
from clip_surgery.methods.registry import METHODS, parse_methods
from clip_surgery.text.templates import TEMPLATE_SETS
from clip_surgery.windows import Windows
from tests.towers import tiny_open_clip

NAMES = ("cat", "dog")


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(tiny_open_clip(seed=0), templates="name", cache=False, batch_size=2)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_stands_alone(name):
    protocol = PROTOCOLS[name]
    assert protocol.name == name
    assert protocol.source.endswith(".")
    assert len(protocol.build_metrics(NAMES)) == len(protocol.metrics)
    assert parse_methods(",".join(protocol.methods))
    assert pickle.loads(pickle.dumps(protocol)) == protocol
    assert "source" not in repr(protocol)
    with pytest.raises(dataclasses.FrozenInstanceError):
        protocol.size = 1


def test_the_repr_tells_two_protocols_apart():
    reprs = {repr(protocol) for protocol in PROTOCOLS.values()}
    assert len(reprs) == len(PROTOCOLS)


def test_metrics_are_built_fresh_and_in_order():
    protocol = PROTOCOLS["scenes"]
    first, second = (protocol.build_metrics(NAMES) for _ in range(2))
    assert [type(metric) for metric in first] == [METRICS[key] for key in protocol.metrics]
    assert not set(map(id, first)) & set(map(id, second))


def test_the_table_of_scenes_keeps_its_columns():
    assert PROTOCOLS["scenes"].metrics == (
        *("score_contrast", "explainability_iou", "pixel_ranking"),
        *("pointing", "noise_share", "presence"),
    )
    assert PROTOCOLS["scenes"].size is None
    assert PROTOCOLS["scenes"].framing == "keep ratio"


@pytest.mark.parametrize("name", PROTOCOLS)
def test_segmentation_is_measured_as_the_protocol_says(name):
    protocol = PROTOCOLS[name]
    for metric in protocol.build_metrics(NAMES):
        if isinstance(metric, SegmentationIoU):
            said = (protocol.labels, protocol.background, protocol.threshold)
            assert (metric.labels, metric.background, metric.threshold) == said


def test_a_protocol_sets_templates_framing_and_reference_words(explainer):
    protocol = Protocol(
        name="mine",
        source="by hand",
        metrics=("presence",),
        size=128,
        framing="letterbox",
        templates="small",
        vocabulary="common",
    )
    changed = protocol.apply(explainer)
    assert changed.templates == TEMPLATE_SETS["small"]
    assert (changed.framing.mode, changed.framing.size) == ("letterbox", 128)
    assert changed.vocabulary
    assert changed.backbone is explainer.backbone
    assert changed.batch_size == explainer.batch_size
    assert changed.vocabulary != explainer.vocabulary
    assert replace(protocol, vocabulary=None).apply(explainer).vocabulary is None
    assert protocol.apply(changed) == changed


def test_what_papers_fix():
    explainability = PROTOCOLS["paper_explainability"]
    assert len(TEMPLATE_SETS[explainability.templates]) == 85
    segmentation = PROTOCOLS["paper_segmentation"]
    assert (segmentation.size, segmentation.labels, segmentation.background) == (512, "all", "none")
    given = PROTOCOLS["labels_given"]
    assert (given.labels, given.background, given.threshold) == ("present", "threshold", 0.6)
    sliding = PROTOCOLS["sliding_window"]
    assert sliding.windows == Windows(size=448, crop=224, stride=112)
    assert len(TEMPLATE_SETS[sliding.templates]) == 80
    assert (sliding.prompts, sliding.labels) == ("aliases", "all")


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_data_set_has_a_protocol_it_can_be_measured_by(dataset):
    chosen = default_protocol(dataset)
    tags = dataset in ("voc07", "coco_tags", "nus_wide")
    assert (chosen.metrics == ("tags",)) == tags  # without masks only tags can be measured


@pytest.mark.parametrize(
    ("changes", "name", "field", "value"),
    [
        ({"size": 336}, "paper_tags(size=336)", "size", 336),
        ({"framing": "keep ratio"}, "paper_tags(framing=keep ratio)", "framing", "keep ratio"),
        ({"templates": "photo"}, "paper_tags(templates=photo)", "templates", "photo"),
        ({"size": 224, "framing": "squash"}, "paper_tags", "size", 224),
        ({}, "paper_tags", "framing", "squash"),
    ],
)
def test_what_is_changed_stands_in_the_name(changes, name, field, value):
    changed = PROTOCOLS["paper_tags"].changed(**changes)
    assert changed.name == name
    assert getattr(changed, field) == value
    assert (changed is PROTOCOLS["paper_tags"]) == (name == "paper_tags")


def test_another_size_is_another_size_of_the_windows():
    sliding = PROTOCOLS["sliding_window"]
    changed = sliding.changed(size=336, templates="photo")
    assert changed.windows == Windows(size=336, crop=224, stride=112)
    assert changed.templates == "photo"
    assert changed.name == "sliding_window(size=336, templates=photo)"
    assert sliding.changed(size=448, framing="keep ratio") is sliding
    with pytest.raises(InputError, match="windows of sliding_window"):
        sliding.changed(framing="squash")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ()}, "Expected metrics"),
        ({"metrics": ("tags", "tags")}, "each once"),
        ({"size": 0}, "at least 1 px"),
        ({"framing": "crop"}, "framing 'crop'"),
        ({"templates": "smal"}, "'small'"),
        ({"prompts": "all"}, "aliases, names"),
        ({"labels": "given"}, "all, present"),
        ({"background": "word"}, "'words'"),
        ({"threshold": 1.5}, "0 to 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Protocol(**{"name": "mine", "source": "by hand", "metrics": ("tags",), **settings})


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="paper_tags"):
        protocol_named("paper_tag")
    with pytest.raises(UnknownNameError, match="'pointing'"):
        Protocol(name="mine", source="", metrics=("point",)).build_metrics(NAMES)


def test_default_methods_exist():
    for protocol in PROTOCOLS.values():
        for method in parse_methods(",".join(protocol.methods)).values():
            assert method.name in METHODS


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=lambda protocol: protocol.name)
def test_sources_cite_only_files_of_the_repository_and_papers_with_a_number(protocol):
    root = Path(__file__).parents[3]
    for cited in re.findall(r"[\w/.-]+\.(?:md|py|txt)\b", protocol.source):
        assert (root / cited).is_file(), cited
    assert "arXiv" in protocol.source or protocol.source.startswith(
        ("A protocol of this library", "As sliding_window")
    )
