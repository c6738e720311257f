import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.case import Case
from clip_surgery.evaluation.datasets.dataset import Sample
from clip_surgery.evaluation.metrics.foreground_attention import (
    ForegroundAttention,
    foreground_share,
)
from clip_surgery.evaluation.metrics.points_accuracy import PointsAccuracy
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.evaluation.metrics.tags_map import TagsMap
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from tests.explanations import explained, random_scores

NAMES = ("cat", "dog", "cow")
SIDE = 8
FRAMING = Framing.squash(Size(SIDE, SIDE), frame=Size(SIDE, SIDE))


def sample_of(mask):
    present = {NAMES[index] for index in np.unique(mask) if index >= 0}
    image = Image.new("RGB", (mask.shape[1], mask.shape[0]))
    return Sample(image=image, mask=mask.astype(np.int64), present=frozenset(present))


def two_objects():
    mask = np.full((SIDE, SIDE), -1)
    mask[:4, :3], mask[5:, 4:] = 0, 1
    return mask


def case_of(mask, scores, **parts):
    explanation = explained(scores.float(), framing=FRAMING, texts=NAMES, similarity=True, **parts)
    return Case(explanation=explanation, sample=sample_of(mask), names=NAMES)


def true_scores(mask):
    return torch.stack([torch.from_numpy(mask == index) for index in range(3)]).float()


def measure(metric, *cases):
    for case in cases:
        metric.update(case)
    return metric.compute()


def random_case(seed):
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(-2, 3, (2, 2)), np.ones((4, 4), np.int64))
    return case_of(
        mask, random_scores(3, SIDE, SIDE, seed=seed), image_scores=random_scores(1, 3, seed=seed)
    )


def test_segmentation_of_perfect_maps():
    mask = two_objects()
    found = measure(SegmentationIoU(NAMES), case_of(mask, true_scores(mask)))
    assert found == pytest.approx(
        {
            "segmentation mIoU": 100,
            "segmentation mIoU objects": 100,
            "segmentation accuracy": 100,
        }
    )


def test_segmentation_naive():
    cases = [random_case(seed) for seed in range(6)]
    found = measure(SegmentationIoU(NAMES, threshold=0.5), *cases)
    inter, union = np.zeros(4), np.zeros(4)
    for case in cases:
        if not case.present:
            continue
        maps = case.explanation.similarity[0].numpy()
        answer = np.full((SIDE, SIDE), 3)
        for row in range(SIDE):
            for column in range(SIDE):
                best = max(case.present, key=lambda index: maps[index, row, column])
                low, high = maps[best].min(), maps[best].max()
                if (maps[best, row, column] - low) / (high - low) >= 0.5:
                    answer[row, column] = best
        truth = np.where(case.sample.mask == -1, 3, case.sample.mask)
        judged = truth != -2
        for index in range(4):
            inter[index] += ((truth == index) & (answer == index) & judged).sum()
            union[index] += (((truth == index) | (answer == index)) & judged).sum()
    ious = 100 * inter / union
    assert found["segmentation mIoU"] == pytest.approx(ious.mean())
    assert found["segmentation mIoU objects"] == pytest.approx(ious[:3].mean())


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


def test_tags_naive():
    cases = [random_case(seed) for seed in range(12)]
    found = measure(TagsMap(NAMES), *cases)
    precisions = []
    for index, name in enumerate(NAMES):
        ranked = sorted(cases, key=lambda case: -float(case.explanation.image_scores[0, index]))
        hits = [name in case.sample.present for case in ranked]
        at = [sum(hits[: place + 1]) / (place + 1) for place, hit in enumerate(hits) if hit]
        precisions.append(sum(at) / len(at))
    assert found["tags mAP cosine"] == pytest.approx(100 * np.mean(precisions))
    assert {"tags mAP surgery", "tags mAP softmax"} <= set(found)


def test_foreground_share():
    attention = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.2], [1.0, 0.0, 0.0]])
    inside = torch.tensor([True, True, False])
    assert foreground_share(attention, inside) == pytest.approx((0.8 + 0.5) / 2)
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        foreground_share(attention[:2], inside)


def test_foreground_attention():
    grid = PatchGrid(rows=4, columns=4)
    mask = two_objects()
    metric = ForegroundAttention(NAMES)
    metric.update({"q-k": torch.ones(16, 16) / 16, "v-v": torch.eye(16)}, sample_of(mask), grid)
    found = metric.compute()
    assert found["foreground attention v-v"] == pytest.approx(100)
    assert found["foreground attention q-k"] == pytest.approx(found["foreground attention chance"])


@pytest.mark.parametrize("metric", [SegmentationIoU, PointsAccuracy, TagsMap])
def test_merge_of_parts_equals_the_whole(metric):
    cases = [random_case(seed) for seed in range(9)]
    first, second = metric(NAMES), metric(NAMES)
    for case in cases[:4]:
        first.update(case)
    for case in cases[4:]:
        second.update(case)
    first.merge(second)
    assert first.compute() == pytest.approx(measure(metric(NAMES), *cases))


@pytest.mark.parametrize("metric", [SegmentationIoU, PointsAccuracy, TagsMap, ForegroundAttention])
def test_nothing_measured_is_no_number(metric):
    assert metric(NAMES).compute() == {}


@pytest.mark.parametrize("metric", [SegmentationIoU, PointsAccuracy, TagsMap])
def test_a_picture_without_objects_is_defined(metric):
    empty = case_of(np.full((SIDE, SIDE), -1), random_scores(3, SIDE, SIDE))
    assert all(np.isfinite(value) for value in measure(metric(NAMES), empty).values())
