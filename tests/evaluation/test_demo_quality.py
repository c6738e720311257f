"""The bundled model on 60 scenes: floors that any change which breaks the maps will miss.

The floors are loose on purpose: they hold the finding of the paper, not the third digit.
"""

import pytest

import clip_surgery as cs
from clip_surgery.evaluation.datasets.scenes import SceneDataset
from clip_surgery.evaluation.execution.run import evaluate
from clip_surgery.methods.registry import parse_methods

METHODS = "similarity,maskclip,clip_surgery(redundancy=none),clip_surgery"
FLOORS = {"mSC": 45, "mIoU best": 50, "AP": 75, "AUC": 96, "pointing": 80}
MARGINS = {"mSC": 60, "mIoU best": 40, "AP": 60, "AUC": 60, "pointing": 60}


@pytest.fixture(scope="module")
def values():
    explainer = cs.load("demo", templates="photo", cache=False, batch_size=20)
    scenes = SceneDataset(seed=2_000_003, count=60)
    reports = evaluate(explainer, scenes, parse_methods(METHODS))
    return {report.row: report.values for report in reports}


@pytest.mark.parametrize("measure", FLOORS)
def test_surgery_reaches_its_floor(values, measure):
    assert values["clip_surgery"][measure] >= FLOORS[measure]


@pytest.mark.parametrize("measure", MARGINS)
def test_surgery_beats_plain_clip_by_a_margin(values, measure):
    gain = values["clip_surgery"][measure] - values["similarity"][measure]
    assert gain >= MARGINS[measure]


def test_each_part_of_surgery_earns_its_place(values):
    architecture, both = values["clip_surgery(redundancy=none)"], values["clip_surgery"]
    assert architecture["AP"] > values["maskclip"]["AP"] + 20
    assert both["presence AUROC peak"] > architecture["presence AUROC peak"]
    assert both["noise share"] < architecture["noise share"]


def test_maps_of_plain_clip_are_opposite_and_those_of_surgery_are_not(values):
    assert values["similarity"]["mSC"] < -10
    assert values["similarity"]["opposite"] > 70
    assert values["clip_surgery"]["opposite"] < 2


def test_present_objects_score_over_absent_ones(values):
    assert values["clip_surgery"]["presence AUROC image"] >= 98
