"""P-values, false discoveries and promised miss rates, against versions that are written out."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

import clip_surgery as cs
from clip_surgery.calibrated_presence import CalibratedPresence
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation import SceneDataset
from clip_surgery.evaluation.calibration import calibrated_presence, presence_observations
from clip_surgery.presence_statistics import (
    adjusted_p_values,
    conformal_threshold,
    null_p_values,
    risk_threshold,
)
from tests.explanations import explained


def test_p_values_are_counts_of_the_null():
    generator = np.random.default_rng(0)
    null, scores = generator.integers(0, 9, 50), generator.integers(-2, 12, (3, 7))
    written_out = [[(1 + sum(n >= s for n in null)) / 51 for s in row] for row in scores]
    assert null_p_values(scores, null).tolist() == written_out


def test_adjusted_values_are_those_of_the_step_up_procedure():
    p = np.random.default_rng(1).random((40, 6)) ** 2
    for row, adjusted in zip(p, adjusted_p_values(p), strict=True):
        for rate in (0.05, 0.1, 0.3, 0.7):
            kept = [k for k in range(1, 7) if sorted(row)[k - 1] <= k * rate / 6]
            limit = sorted(row)[max(kept) - 1] if kept else -1
            assert (adjusted <= rate).tolist() == (row <= limit).tolist()


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.5])
def test_of_exchangeable_scores_exactly_the_promised_share_is_missed(rate):
    """Each of n + 1 scores in turn is new, and the others are the calibration."""
    scores = np.random.default_rng(2).normal(size=100)
    missed = sum(
        scores[i] < conformal_threshold(np.delete(scores, i), rate) for i in range(len(scores))
    )
    assert missed / 100 == pytest.approx(rate)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
def test_the_threshold_of_images_is_the_highest_that_the_bound_allows(rate):
    generator = np.random.default_rng(3)
    images = [generator.integers(0, 30, generator.integers(0, 5)) for _ in range(60)]
    full = [row for row in images if len(row)]

    def bound(threshold):
        shares = [np.mean(row < threshold) for row in full]
        return (sum(shares) + 1) / (len(full) + 1)

    threshold = risk_threshold(images, rate)
    assert bound(threshold) <= rate
    higher = [score for row in full for score in row if score > threshold]
    assert all(bound(score) > rate for score in higher)


def test_too_few_scores_keep_everything_and_bad_input_has_a_message():
    assert conformal_threshold([1.0, 2.0], 0.1) == -math.inf
    assert risk_threshold([[], []], 0.1) == -math.inf
    assert CalibratedPresence(absent=(0.0,)).threshold(0.1) == 0.0
    assert CalibratedPresence(absent=(0.0,)).threshold(0.1, per="image") == 0.0
    with pytest.raises(InputError, match="no"):
        null_p_values([1.0], [])
    for bad in (lambda: conformal_threshold([math.nan], 0.1), lambda: conformal_threshold([1], 1)):
        with pytest.raises(InputError):
            bad()
    with pytest.raises(InputError, match="finite"):
        CalibratedPresence(absent=(math.inf,))
    with pytest.raises(UnknownNameError, match="unit of misses"):
        CalibratedPresence().threshold(0.1, per="word")
    with pytest.raises(InputError, match="within 0 to 1"):
        adjusted_p_values([1.5])


def test_the_score_at_the_threshold_is_kept():
    ratios = torch.linspace(-30, 30, 999).view(1, 1, -1).expand(1, 2, -1)
    rule = CalibratedPresence(image=1, patches=0.37, offset=-0.1)
    scores = rule.scores(ratios)[0].tolist()
    probabilities = rule.probabilities(ratios)[0]
    for index in range(0, 999, 37):
        calibrated = replace(rule, present=((scores[index],),))
        assert probabilities[index] >= calibrated.threshold(0.5)


def test_p_values_of_an_explanation_and_of_unions():
    rule = CalibratedPresence(image=1, patches=0, offset=0, absent=(0.0, 1.0, 2.0))
    ratios = torch.tensor([[[-1.0, 1.5, 3.0], [0.0, 0.0, 0.0]]])
    explanation = explained(
        torch.zeros(3, 2, 2), texts=("a", "b", "c"), reference_log_ratios=ratios
    )
    explanation = replace(explanation, presence_rule=rule)
    assert cs.presence_p_values(explanation).tolist() == [[1.0, 0.5, 0.25]]
    assert cs.presence_p_values(explanation, [["b", "c"], "a"]).tolist() == [[0.5, 1.0]]
    assert cs.presence_p_values(explanation, adjust=True).tolist() == [[1.0, 0.75, 0.75]]
    found = cs.tags(explanation, score="cosine", false_discovery_rate=0.8)
    assert {tag.text for tag in found[0]} == {"b", "c"}
    with pytest.raises(InputError, match="false discovery rate"):
        cs.tags(explanation, false_discovery_rate=0)
    with pytest.raises(InputError, match="clip-surgery calibrate"):
        cs.presence_p_values(replace(explanation, presence_rule=None))


@pytest.fixture(scope="module")
def observations():
    explainer = cs.load("demo", cache=False, templates="photo", batch_size=32)
    batches = list(presence_observations(explainer, SceneDataset(seed=2_500_009, count=200)))
    return tuple(np.concatenate(part) for part in zip(*batches, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("per", ["text", "image"])
def test_promised_miss_rates_are_kept_over_200_splits_of_the_scenes(observations, per):
    """The rule is fitted once, to other images than the threshold in the mean over splits."""
    ratios, present = observations
    scores = calibrated_presence(ratios, present).scores(torch.from_numpy(ratios).transpose(1, 2))
    scores, generator = scores.double().numpy(), np.random.default_rng(0)
    for rate in (0.05, 0.1, 0.2):
        misses = []
        for _ in range(200):
            order = generator.permutation(len(scores))
            rows = [scores[i][present[i]] for i in order]
            half = len(rows) // 2
            if per == "text":
                threshold = conformal_threshold(np.concatenate(rows[:half]), rate)
                misses.append((np.concatenate(rows[half:]) < threshold).mean())
            else:
                threshold = risk_threshold(rows[:half], rate)
                misses.append(
                    np.mean([(row < threshold).mean() for row in rows[half:] if row.size])
                )
        assert np.mean(misses) == pytest.approx(rate, abs=0.01)


@pytest.mark.slow
def test_p_values_of_absent_texts_are_uniform_and_those_of_present_texts_small(observations):
    ratios, present = observations
    calibration = calibrated_presence(ratios[:100], present[:100])
    p = calibration.p_values(torch.from_numpy(ratios[100:]).transpose(1, 2))
    absent, found = p[~present[100:]], p[present[100:]]
    for level in (0.01, 0.05, 0.2):
        assert (absent <= level).mean() == pytest.approx(level, abs=0.01 + level / 4)
    assert (found <= 0.01).mean() >= 0.8
    false, tags = 0, 0
    for row, labels in zip(adjusted_p_values(p), present[100:], strict=True):
        false += np.sum((row <= 0.1) & ~labels) / max(1, (row <= 0.1).sum())
        tags += 1
    assert false / tags <= 0.13
