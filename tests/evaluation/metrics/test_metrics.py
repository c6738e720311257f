"""Each metric against a naive version, its edges, and parts against the whole."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.metrics.explainability_iou import (
    STEPS,
    ExplainabilityIoU,
    iou_at_thresholds,
)
from clip_surgery.evaluation.metrics.noise_share import NoiseShare
from clip_surgery.evaluation.metrics.pixel_ranking import PixelRanking, ap_and_auc
from clip_surgery.evaluation.metrics.pointing import Pointing
from clip_surgery.evaluation.metrics.presence_auroc import (
    PresenceAuroc,
    area_from_counts,
    half_bins,
)
from clip_surgery.evaluation.metrics.score_contrast import ScoreContrast
from clip_surgery.evaluation.run import EXPLANATION_METRICS
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size

NAMES = ("cat", "dog", "bus", "tree")


def make_case(scores, mask, names=NAMES):
    """A picture whose patches are its pixels: no resize between score and mask."""
    size = Size(*mask.shape)
    explanation = Explanation(
        patch_scores=(scores,),
        similarity=None,
        image_scores=scores.flatten(1).mean(dim=1)[None],
        texts=names,
        framings=(Framing.squash(size, frame=size),),
        images=("x",),
        method="test",
        backbone="test",
    )
    sample = Sample(
        image=Image.new("RGB", (size.width, size.height)),
        mask=mask,
        present=frozenset(names[i] for i in np.unique(mask) if i >= 0),
    )
    return Case(explanation=explanation, sample=sample, names=names)


def random_case(seed):
    rng = np.random.default_rng(seed)
    mask = rng.integers(-2, 3, (7, 9))
    scores = torch.from_numpy(rng.normal(size=(4, 7, 9)).round(1)).float()
    return make_case(scores, mask)


def perfect_case():
    mask = np.full((6, 6), -1)
    mask[1:3, 1:4] = 0
    mask[4:, 4:] = 2
    scores = torch.stack([torch.from_numpy((mask == i).astype(np.float32)) for i in range(4)])
    return make_case(scores, mask)


def blank_sample(size):
    return Sample(
        image=Image.new("RGB", (size, size)),
        mask=np.zeros((size, size), dtype=np.int64),
        present=frozenset({"cat"}),
    )


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
    assert measure(PixelRanking, case) == {"AP": 100.0, "AUC": 100.0}
    assert measure(Pointing, case) == {"pointing": 100.0}


def test_a_reversed_map_is_opposite():
    case = perfect_case()
    reverse = make_case(1 - case.explanation.patch_scores[0], case.sample.mask)
    assert measure(ScoreContrast, reverse) == {"mSC": -100.0, "opposite": 100.0}
    assert measure(PixelRanking, reverse)["AUC"] == 0.0
    assert measure(Pointing, reverse)["pointing"] == 0.0


def test_a_flat_map_scores_what_a_blind_guess_would():
    mask = np.full((10, 10), -1)
    mask[:3, :] = 1
    flat = make_case(torch.full((4, 10, 10), 0.3), mask)
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
        cut = values.double() * STEPS >= step
        naive = (cut & inside).sum() / (cut | inside).sum()
        assert fast[step] == pytest.approx(float(naive), abs=1e-6)


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
    case = make_case(scores, mask)
    tops = [set(scores[i].flatten().topk(10).indices.tolist()) for i in range(4)]
    expected = np.mean([[len(tops[i] & tops[j]) / 10 for j in (2, 3)] for i in (0, 1)])
    assert measure(NoiseShare, case)["noise share"] == pytest.approx(100 * expected)
    same = make_case(scores[:1].expand(4, -1, -1), mask)
    assert measure(NoiseShare, same)["noise share"] == pytest.approx(100.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-70000, 70000, width=32), min_size=2, max_size=30))
def test_half_bins_keep_the_order_of_halves(values):
    scores = torch.tensor(values)
    halves = scores.clamp(-65504, 65504).half().float()
    bins = half_bins(scores)
    assert 0 <= int(bins.min()) <= int(bins.max()) < 65536
    for i in range(len(values)):
        for j in range(len(values)):
            assert (halves[i] < halves[j]) == bool(bins[i] < bins[j])


def test_area_from_counts_naive():
    torch.manual_seed(0)
    negative, positive = torch.randint(0, 5, (20,)), torch.randint(0, 5, (20,))
    wins = sum(
        int(negative[i] * positive[j]) * (1.0 if i < j else 0.5 if i == j else 0.0)
        for i in range(20)
        for j in range(20)
    )
    expected = wins / int(negative.sum() * positive.sum())
    assert area_from_counts(negative, positive) == pytest.approx(expected)


def test_presence_of_a_perfect_map():
    assert measure(PresenceAuroc, perfect_case()) == pytest.approx(
        {"presence AUROC peak": 100.0, "presence AUROC image": 100.0}
    )


@pytest.mark.parametrize("metric", EXPLANATION_METRICS)
def test_merge_of_parts_equals_the_whole(metric):
    cases = [random_case(seed) for seed in range(9)]
    first, second = metric(NAMES), metric(NAMES)
    for case in cases[:4]:
        first.update(case)
    for case in cases[4:]:
        second.update(case)
    first.merge(second)
    assert first.compute() == pytest.approx(measure(metric, *cases))


@pytest.mark.parametrize("metric", EXPLANATION_METRICS)
def test_nothing_measured_is_no_number(metric):
    assert measure(metric) == {}
    background = make_case(torch.randn(4, 3, 3), np.full((3, 3), -1))
    assert all(np.isfinite(value) for value in measure(metric, background).values())


@pytest.mark.parametrize("metric", EXPLANATION_METRICS)
def test_an_object_that_fills_the_picture_is_defined(metric):
    full = make_case(torch.randn(4, 3, 3), np.zeros((3, 3), dtype=np.int64))
    assert all(np.isfinite(value) for value in measure(metric, full).values())


# NoiseShare and PresenceAuroc read whole maps: their patches have no judged part.
PIXEL_METRICS = (ScoreContrast, ExplainabilityIoU, PixelRanking, Pointing)


@pytest.mark.parametrize("metric", PIXEL_METRICS)
def test_pixels_not_judged_have_no_say(metric):
    case = random_case(3)
    scores = case.explanation.patch_scores[0].clone()
    # lift values where nothing is judged, inside the range so that min-max stays
    hidden = case.mask == -2
    inner = scores.flatten(1).mean(dim=1)[:, None].expand(-1, int(hidden.sum()))
    low, high = scores.flatten(1).amin(1), scores.flatten(1).amax(1)
    scores[:, 0, 0], scores[:, 0, 1] = low, high
    first = make_case(scores, case.sample.mask)
    changed = scores.clone()
    keep = hidden.clone()
    keep[0, :2] = False
    changed[:, keep] = inner[:, : int(keep.sum())]
    second = make_case(changed, case.sample.mask)
    assert measure(metric, first) == pytest.approx(measure(metric, second))


def test_a_case_must_fit_its_truth():
    case = perfect_case()
    with pytest.raises(InputError, match="mask"):
        Case(
            explanation=case.explanation,
            sample=blank_sample(size=5),
            names=NAMES,
        )
    with pytest.raises(InputError, match="3 names"):
        Case(explanation=case.explanation, sample=case.sample, names=NAMES[:3])
