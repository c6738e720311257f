"""The metrics of explanations against naive versions, and their edge cases."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_surgery.evaluation.metrics.explainability_iou import (
    STEPS,
    ExplainabilityIoU,
    iou_at_thresholds,
)
from clip_surgery.evaluation.metrics.noise_share import NoiseShare
from clip_surgery.evaluation.metrics.pixel_ranking import PixelRanking, ap_and_auc
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.presence_auroc import PresenceAuroc
from clip_surgery.evaluation.metrics.score_contrast import ScoreContrast
from tests.cases import NAMES, case_of, random_case


def perfect_case():
    mask = np.full((6, 6), -1)
    mask[1:3, 1:4] = 0
    mask[4:, 4:] = 2
    scores = torch.stack([torch.from_numpy((mask == i).astype(np.float32)) for i in range(4)])
    return case_of(mask, scores, image_scores=scores.flatten(1).mean(dim=1)[None])


def measure(metric, *cases):
    running = metric(NAMES)
    for case in cases:
        running.update(case)
    return running.compute()


def test_a_perfect_map_scores_everything():
    case = perfect_case()
    assert measure(ScoreContrast, case) == {"mSC": 100.0, "opposite": 0.0}
    iou = measure(ExplainabilityIoU, case)
    assert iou["mIoU best"] == iou["mIoU oracle"] == iou["mIoU 0.5"] == 100.0
    assert iou["threshold"] == 0.01  # the lowest that cuts zeros off
    assert measure(PixelRanking, case) == {"AP": 100.0, "AUC": 100.0}
    assert measure(Pointing, case) == {"pointing": 100.0}


def test_a_reversed_map_is_opposite():
    case = perfect_case()
    reverse = case_of(case.sample.mask, 1 - case.explanation.patch_scores[0])
    assert measure(ScoreContrast, reverse) == {"mSC": -100.0, "opposite": 100.0}
    assert measure(PixelRanking, reverse)["AUC"] == 0.0
    assert measure(Pointing, reverse)["pointing"] == 0.0


def test_a_flat_map_scores_what_a_blind_guess_would():
    mask = np.full((10, 10), -1)
    mask[:3, :] = 1
    flat = case_of(mask, torch.full((4, 10, 10), 0.3))
    assert measure(Pointing, flat)["pointing"] == pytest.approx(30.0)
    assert measure(PixelRanking, flat) == pytest.approx({"AP": 30.0, "AUC": 50.0})
    assert measure(ScoreContrast, flat)["mSC"] == 0.0


def test_score_contrast_naive():
    cases = [random_case(seed) for seed in range(6)]
    by_class = {}
    for case in cases:
        for index in case.present:
            scores = case.explanation.patch_scores[0][index].double()
            scaled = (scores - scores.min()) / (scores.max() - scores.min())
            inside = case.mask == index
            outside = (case.mask != index) & (case.mask != -2)
            by_class.setdefault(index, []).append(scaled[inside].mean() - scaled[outside].mean())
    expected = 100 * np.mean([np.mean(values) for values in by_class.values()])
    assert measure(ScoreContrast, *cases)["mSC"] == pytest.approx(expected, abs=1e-4)


def test_iou_at_thresholds_naive():
    torch.manual_seed(0)
    values, inside = torch.rand(200), torch.rand(200) > 0.7
    fast = iou_at_thresholds(values, inside)
    for step in range(STEPS):
        cut = values * STEPS >= step
        naive = (cut & inside).sum() / (cut | inside).sum()
        assert fast[step] == pytest.approx(float(naive), abs=1e-6)


def test_explainability_iou_naive():
    """The threshold that is reported gives what is reported, by the definition."""
    cases = [random_case(seed) for seed in range(6)]
    found = measure(ExplainabilityIoU, *cases)
    by_class = {}
    for case in cases:
        for row, index in enumerate(case.present):
            hot, inside = case.judged_heatmaps[row] >= found["threshold"], case.object_pixels[row]
            iou = 100 * int((hot & inside).sum()) / int((hot | inside).sum())
            by_class.setdefault(index, []).append(iou)
    means = [sum(own) / len(own) for own in by_class.values()]
    assert found["mIoU best"] == pytest.approx(sum(means) / len(means))


def test_explainability_iou_rules_are_ordered():
    cases = [random_case(seed) for seed in range(6)]
    found = measure(ExplainabilityIoU, *cases)
    assert found["mIoU 0.5"] <= found["mIoU best"] <= found["mIoU oracle"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40).filter(
        lambda pairs: 0 < sum(label for _, label in pairs) < len(pairs)
    )
)
def test_ap_and_auc_naive_with_ties(pairs):
    scores = torch.tensor([float(score) for score, _ in pairs])
    positive = torch.tensor([label for _, label in pairs])
    ap, auc = ap_and_auc(scores, positive)
    wins = ties = 0
    for p in scores[positive]:
        wins += int((scores[~positive] < p).sum())
        ties += int((scores[~positive] == p).sum())
    pairs_of_two = int(positive.sum() * (~positive).sum())
    assert float(auc) == pytest.approx((wins + ties / 2) / pairs_of_two)
    expected, recall = 0.0, 0.0
    for cut in sorted(set(scores.tolist()), reverse=True):
        chosen = scores >= cut
        precision = float(positive[chosen].double().mean())
        now = float((chosen & positive).sum() / positive.sum())
        expected += (now - recall) * precision
        recall = now
    assert float(ap) == pytest.approx(expected, abs=1e-6)


def test_noise_share_naive():
    torch.manual_seed(1)
    mask = np.full((10, 10), -1)
    mask[0, 0], mask[5, 5] = 0, 1
    scores = torch.randn(4, 10, 10)
    case = case_of(mask, scores)
    tops = [set(scores[i].flatten().topk(10).indices.tolist()) for i in range(4)]
    expected = np.mean([[len(tops[i] & tops[j]) / 10 for j in (2, 3)] for i in (0, 1)])
    assert measure(NoiseShare, case)["noise share"] == pytest.approx(100 * expected)
    same = case_of(mask, scores[:1].expand(4, -1, -1))
    assert measure(NoiseShare, same)["noise share"] == pytest.approx(100.0)


def test_presence_of_a_perfect_map():
    assert measure(PresenceAuroc, perfect_case()) == pytest.approx(
        {"presence AUROC peak": 100.0, "presence AUROC image": 100.0}
    )


def test_unsure_names_do_not_change_results():
    case = perfect_case()
    scores = case.explanation.patch_scores[0].clone()
    scores[1] = 2 * (scores[0] + scores[2])  # a dog wherever the cat and the bus are
    case = case_of(case.sample.mask, scores)
    unsure = replace(case, sample=replace(case.sample, unsure=frozenset({"dog"})))
    assert measure(PresenceAuroc, case)["presence AUROC peak"] < 100
    assert measure(PresenceAuroc, unsure)["presence AUROC peak"] == 100
    assert measure(NoiseShare, case)["noise share"] > measure(NoiseShare, unsure)["noise share"]


# NoiseShare and PresenceAuroc read whole maps: their patches have no judged part.
PIXEL_METRICS = (ScoreContrast, ExplainabilityIoU, PixelRanking, Pointing)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixels_that_are_not_judged_do_not_change_results(metric):
    case = random_case(3)
    scores = case.explanation.patch_scores[0].clone()
    # lift values where nothing is judged, inside the range so that min-max stays
    hidden = case.mask == -2
    inner = scores.flatten(1).mean(dim=1)[:, None].expand(-1, int(hidden.sum()))
    low, high = scores.flatten(1).amin(1), scores.flatten(1).amax(1)
    scores[:, 0, 0], scores[:, 0, 1] = low, high
    first = case_of(case.sample.mask, scores)
    changed = scores.clone()
    keep = hidden.clone()
    keep[0, :2] = False
    changed[:, keep] = inner[:, : int(keep.sum())]
    second = case_of(case.sample.mask, changed)
    assert measure(metric, first) == pytest.approx(measure(metric, second))
