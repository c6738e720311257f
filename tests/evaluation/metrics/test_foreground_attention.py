"""Foreground attention against a loop over the patches of an object."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.evaluation.metrics.foreground_attention import (
    ForegroundAttention,
    foreground_share,
    patches_of,
)
from clip_surgery.framing import Framing, FramingRule, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.tasks.inspection import patch_attention
from tests.cases import NAMES, explained_case, random_case, sample_of
from tests.towers import tiny_open_clip

MASK = np.full((32, 48), -1)
MASK[:16, :20], MASK[20:, 30:] = 0, 2


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(tiny_open_clip(), templates="name", cache=False)


def test_naive(explainer):
    case = explained_case(explainer, sample_of(MASK))
    metric = ForegroundAttention(NAMES)
    metric.update(case)
    frame = torch.from_numpy(np.array(case.sample.image)).permute(2, 0, 1) / 255
    pixels = explainer.backbone.normalise(frame[None])
    with torch.no_grad():
        weights = patch_attention(explainer.backbone.tower, pixels)
    expected = {"chance": [], "q-k": [], "v-v": []}
    for index in (0, 2):
        own = [
            6 * row + column
            for row in range(4)
            for column in range(6)
            if (MASK[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] == index).mean() >= 0.5
        ]
        expected["chance"].append(len(own) / 24)
        for kind, ((all_rows,)) in weights.items():
            shares = [float(all_rows[p][own].sum() / all_rows[p].sum()) for p in own]
            expected[kind].append(np.mean(shares))
    assert metric.compute() == pytest.approx(
        {f"foreground attention {kind}": 100 * np.mean(v) for kind, v in expected.items()}
    )


def test_foreground_share():
    attention = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.2], [1.0, 0.0, 0.0]])
    inside = torch.tensor([True, True, False])
    assert foreground_share(attention, inside) == pytest.approx((0.8 + 0.5) / 2)
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        foreground_share(attention[:2], inside)


def test_margins_belong_to_no_object():
    framing = Framing.letterbox(Size(20, 40), frame=Size(32, 32))
    whole = torch.ones(1, 20, 40, dtype=torch.bool)
    found = patches_of(whole, framing, PatchGrid(4, 4))[0]
    assert found.tolist() == [[False] * 4, [True] * 4, [True] * 4, [False] * 4]


def test_a_letterbox_is_measured(explainer):
    boxed = cs.wrap(
        explainer.backbone.model,
        templates="name",
        cache=False,
        framing=FramingRule(mode="letterbox"),
    )
    metric = ForegroundAttention(NAMES)
    metric.update(explained_case(boxed, sample_of(MASK)))
    assert len(metric.compute()) == 3


def test_objects_without_patches_or_with_all_patches_are_skipped(explainer):
    speck = np.full((32, 48), -1)
    speck[:3, :3] = 1
    for mask in (speck, np.zeros((32, 48), int)):
        metric = ForegroundAttention(NAMES)
        metric.update(explained_case(explainer, sample_of(mask)))
        assert metric.compute() == {}


def test_a_model_without_attention_is_skipped(explainer):
    tower = replace(explainer.backbone.tower, blocks=())
    bare = replace(explainer, backbone=replace(explainer.backbone, tower=tower))
    case, metric = explained_case(explainer, sample_of(MASK)), ForegroundAttention(NAMES)
    metric.update(EvaluatedImage(**{**vars(case), "explainer": bare}))
    assert metric.compute() == {}


def test_a_case_without_its_model_is_refused():
    with pytest.raises(InputError, match="with its explainer"):
        ForegroundAttention(NAMES).update(random_case(0))
