"""Points accuracy and tags mAP against naive versions."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from clip_surgery.evaluation.metrics.points_accuracy import PointsAccuracy
from clip_surgery.evaluation.metrics.tags_map import TagsMap
from clip_surgery.tasks.tags import tag_scores
from tests.cases import NAMES, case_of, random_case
from tests.explanations import random_scores

SIDE = 8


def two_objects():
    mask = np.full((SIDE, SIDE), -1)
    mask[:4, :3], mask[5:, 4:] = 0, 1
    return mask


def true_scores(mask):
    return torch.stack([torch.from_numpy(mask == index) for index in range(4)]).float()


def measure(metric, *cases):
    for case in cases:
        metric.update(case)
    return metric.compute()


def test_points_on_perfect_maps():
    mask = two_objects()
    found = measure(PointsAccuracy(NAMES, mode="peaks"), case_of(mask, true_scores(mask)))
    assert found["positives right"] == found["negatives right"] == 100
    assert found["without points"] == 0


def test_points_on_opposite_maps():
    mask = two_objects()
    found = measure(PointsAccuracy(NAMES), case_of(mask, 1 - true_scores(mask)))
    assert found["positives right"] < 10


def test_names_without_points_are_counted():
    mask = two_objects()
    scores = true_scores(mask)
    scores[1] = 0
    assert measure(PointsAccuracy(NAMES), case_of(mask, scores))["without points"] == 50


def tagged_cases(count, *, names=NAMES, seed=0):
    """Cosines as CLIP has them, those of present names a little higher; no mask."""
    chance = torch.Generator().manual_seed(seed)
    cases = []
    for _ in range(count):
        present = torch.rand(len(names), generator=chance) < 0.3
        cosines = 0.2 + 0.03 * torch.randn(len(names), generator=chance) + 0.03 * present
        cases.append(
            case_of(
                np.full((2, 2), -2),
                random_scores(len(names), 1, 1),
                names,
                present=frozenset(name for name, own in zip(names, present, strict=True) if own),
                image_scores=cosines[None],
            )
        )
    return cases


def scores_and_labels(cases, score):
    scores = torch.cat([tag_scores(case.by_name, score=score) for case in cases])
    if score == "softmax":
        scores = torch.logit(scores)
    labels = [[name in case.sample.present for name in case.names] for case in cases]
    return scores, torch.tensor(labels)


def naive_precision(scores, labels):
    """Mean over names of the mean precision at each positive; equal scores are one cut."""
    means = []
    for own, said in zip(scores.T, labels.T, strict=True):
        if said.any() and not said.all():
            at = [float(said[own >= score].double().mean()) for score in own[said]]
            means.append(np.mean(at))
    return 100 * np.mean(means)


@pytest.mark.parametrize("score", ["surgery", "softmax", "cosine"])
def test_tags_are_exact_at_half_precision(score):
    cases = tagged_cases(200)
    found = measure(TagsMap(NAMES), *cases)[f"tags mAP {score}"]
    scores, labels = scores_and_labels(cases, score)
    assert found == pytest.approx(naive_precision(scores.half(), labels), abs=1e-9)
    assert found == pytest.approx(naive_precision(scores, labels), abs=0.5)


def test_tags_are_torchmetrics_own():
    classification = pytest.importorskip("torchmetrics.classification")
    cases = tagged_cases(60)
    found = measure(TagsMap(NAMES), *cases)
    for score in ("surgery", "softmax", "cosine"):
        scores, labels = scores_and_labels(cases, score)
        # torchmetrics takes what is not within 0 to 1 for logits; places keep the order exactly
        places = scores.half().double().unique(return_inverse=True)[1]
        reference = classification.MultilabelAveragePrecision(len(NAMES), average="macro")
        reference.update(places / places.max(), labels.long())
        expected = 100 * float(reference.compute())
        assert found[f"tags mAP {score}"] == pytest.approx(expected, abs=1e-3)


def test_tags_leave_out_what_is_unsure():
    """As VOC does with what is difficult: such an image is not in the ranking of that name."""
    decided = []
    for number, case in enumerate(tagged_cases(60)):
        unsure = frozenset(NAMES[number % 3 : number % 3 + 1]) - case.sample.present
        decided.append(replace(case, sample=replace(case.sample, unsure=unsure)))
    found = measure(TagsMap(NAMES), *decided)
    scores, labels = scores_and_labels(decided, "cosine")
    keep = torch.tensor([[name not in c.sample.unsure for name in NAMES] for c in decided])
    assert 20 < (~keep).sum() < 60
    own = [
        naive_precision(scores.half()[keep[:, i], i, None], labels[keep[:, i], i, None])
        for i in range(len(NAMES))
    ]
    assert found["tags mAP cosine"] == pytest.approx(np.mean(own), abs=1e-9)
    whole = measure(TagsMap(NAMES), *tagged_cases(60))
    assert found["tags mAP cosine"] > whole["tags mAP cosine"]  # fewer to be mistaken for


def test_tags_that_softmax_makes_tiny_still_rank():
    """A share of 1e-9 and one of 1e-8 are both 0 at half precision; their logits are not."""
    names = ("cat", "dog")
    cases = [
        case_of(
            np.full((1, 1), -2),
            random_scores(2, 1, 1),
            names,
            present=frozenset({"dog", "cat"} if index == 2 else {"dog"}),
            image_scores=torch.tensor([[0.1 + 0.01 * index, 0.35]]),
        )
        for index in range(3)
    ]
    assert measure(TagsMap(names), *cases)["tags mAP softmax"] == 100


def test_tags_by_presence_need_a_vocabulary():
    assert "tags mAP presence" in measure(TagsMap(NAMES), *(random_case(s) for s in range(5)))
    assert "tags mAP presence" not in measure(TagsMap(NAMES), *tagged_cases(5))
