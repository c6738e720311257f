"""Score counts against sorting, and against torchmetrics."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_surgery.errors import InputError
from clip_surgery.evaluation.metrics import score_counts
from clip_surgery.evaluation.metrics.pixel_ranking import ap_and_auc
from clip_surgery.evaluation.metrics.score_counts import (
    BINS,
    ScoreCounts,
    area_from_counts,
    half_bins,
    precision_from_counts,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-70000, 70000, width=32), min_size=2, max_size=30))
def test_half_bins_keep_the_order_of_halves(values):
    scores = torch.tensor(values)
    halves = scores.clamp(-65504, 65504).half().float()
    bins = half_bins(scores)
    assert 0 <= int(bins.min()) <= int(bins.max()) < BINS
    for i in range(len(values)):
        for j in range(len(values)):
            assert (halves[i] < halves[j]) == bool(bins[i] < bins[j])


def test_area_from_counts_naive():
    negative, positive = torch.randint(0, 5, (20,)), torch.randint(0, 5, (20,))
    wins = sum(
        int(negative[i] * positive[j]) * (1.0 if i < j else 0.5 if i == j else 0.0)
        for i in range(20)
        for j in range(20)
    )
    expected = wins / int(negative.sum() * positive.sum())
    assert area_from_counts(negative, positive) == pytest.approx(expected)


def test_precision_and_area_are_those_of_the_scores_themselves():
    scores = torch.randn(500).mul(3).half().float()
    positive = torch.rand(500) < 0.3
    negatives, positives = (
        torch.bincount(half_bins(scores[part]), minlength=BINS) for part in (~positive, positive)
    )
    precision, area = ap_and_auc(scores, positive)
    assert precision_from_counts(negatives, positives) == pytest.approx(precision, abs=1e-12)
    assert area_from_counts(negatives, positives) == pytest.approx(area, abs=1e-12)


def test_precision_and_area_are_torchmetrics_own():
    functional = pytest.importorskip("torchmetrics.functional.classification")
    scores, positive = torch.rand(400).half().float(), torch.rand(400) < 0.2
    negatives, positives = (
        torch.bincount(half_bins(scores[part]), minlength=BINS) for part in (~positive, positive)
    )
    precision = functional.binary_average_precision(scores, positive.long())
    assert precision_from_counts(negatives, positives) == pytest.approx(float(precision), abs=1e-6)
    area = functional.binary_auroc(scores, positive.long())
    assert area_from_counts(negatives, positives) == pytest.approx(float(area), abs=1e-6)


@pytest.mark.parametrize("room", [1, 50, 10**6])
def test_counting_naive(room, monkeypatch):
    monkeypatch.setattr(score_counts, "_PENDING", room)
    counts, expected = ScoreCounts(3), torch.zeros(3, BINS, dtype=torch.int64)
    for _ in range(20):
        groups, scores = torch.randint(0, 3, (17,)), torch.randn(17).round(decimals=1)
        counts.add(groups, scores)
        for group, place in zip(groups, half_bins(scores), strict=True):
            expected[group, place] += 1
    assert all(torch.equal(counts.of(group), expected[group]) for group in range(3))
    twice = ScoreCounts(3)
    for _ in range(2):
        twice.merge(counts)
    assert all(torch.equal(twice.of(group), 2 * expected[group]) for group in range(3))


def test_memory_is_bounded_by_the_bins_that_occur():
    counts = ScoreCounts(1)
    for _ in range(40):
        counts.add(torch.zeros(10_000, dtype=torch.int64), torch.rand(10_000).round(decimals=2))
    state = counts.state()
    assert len(state["where"]) == len(state["counts"]) == 101
    assert int(state["counts"].sum()) == 400_000


def test_scores_that_are_nan_or_infinite():
    counts = ScoreCounts(1)
    group = torch.zeros(2, dtype=torch.int64)
    counts.add(group, torch.tensor([float("inf"), -float("inf")]))
    ends = half_bins(torch.tensor([-65504.0, 65504.0]))
    assert torch.equal(counts.of(0).nonzero()[:, 0], ends)
    with pytest.raises(InputError, match="some are NaN"):
        counts.add(group, torch.tensor([0.0, float("nan")]))
