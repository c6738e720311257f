"""Segmentation mIoU against torchmetrics and a loop, under every rule for labels and background."""

import numpy as np
import pytest
import torch

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.segmentation_iou import SegmentationIoU
from clip_surgery.tasks.segmentation import segment
from tests.cases import NAMES, case_of, random_case, random_mask
from tests.explanations import random_scores

TEXTS = {
    "prompts": (("cat",), ("dog", "puppy"), ("bus",), ("tree",)),
    "background": ("wall", "floor"),
}


def cases_with_words():
    return [
        case_of(random_mask(seed), random_scores(7, 12, 16, seed=seed), **TEXTS)
        for seed in range(8)
    ]


def measure(cases, **settings):
    metric = SegmentationIoU(NAMES, **settings)
    for case in cases:
        metric.update(case)
    return metric.compute()


def naive_answer(case, labels, background, threshold):
    """The class of each pixel, one pixel and one text after another; 4 is background."""
    maps = case.explanation.similarity[0].numpy()
    allowed = range(4) if labels == "all" else case.present
    owner = [0, 1, 1, 2, 3] + [4, 4] * (background == "words")
    answer = np.full(maps.shape[1:], 4)
    for place in np.ndindex(*answer.shape):
        texts = [text for text, own in enumerate(owner) if own in allowed or own == 4]
        best = max(texts, key=lambda text: maps[(text, *place)])
        low, high = maps[best].min(), maps[best].max()
        level = (maps[(best, *place)] - low) / (high - low)
        if background != "threshold" or level >= threshold:
            answer[place] = owner[best]
    return answer


@pytest.mark.parametrize("labels", ["present", "all"])
@pytest.mark.parametrize("background", ["none", "threshold", "words"])
def test_naive(labels, background):
    """Patches are pixels here, so that no resize comes between."""
    cases = cases_with_words()
    found = measure(cases, labels=labels, background=background, threshold=0.55)
    inter, union, true, right, pixels = np.zeros(5), np.zeros(5), np.zeros(5), 0, 0
    for case in cases:
        if labels == "present" and not case.present:
            continue
        answer = naive_answer(case, labels, background, 0.55)
        truth = np.where(case.sample.mask == -1, 4, case.sample.mask)
        counted = (truth != -2) & ((truth != 4) | (background != "none"))
        right, pixels = right + (answer == truth)[counted].sum(), pixels + counted.sum()
        for index in range(5):
            own, said = (truth == index) & counted, (answer == index) & counted
            inter[index] += (own & said).sum()
            union[index] += (own | said).sum()
            true[index] += own.sum()
    seen = true > 0
    assert seen.tolist() == [True, True, True, False, background != "none"]
    ious = 100 * inter[seen] / union[seen]
    assert found["segmentation mIoU"] == pytest.approx(ious.mean())
    assert found["segmentation accuracy"] == pytest.approx(100 * right / pixels)
    if background == "none":
        assert "segmentation mIoU objects" not in found
    else:
        assert found["segmentation mIoU objects"] == pytest.approx(ious[:3].mean())


@pytest.mark.parametrize("background", ["none", "threshold"])
def test_it_is_torchmetrics_own(background):
    classification = pytest.importorskip("torchmetrics.classification")
    # torchmetrics counts a class with answers and no truth as 0: here every class has some
    count = 4 if background == "none" else 5
    reference = classification.MulticlassJaccardIndex(count, average="macro")
    cases = []
    for seed in range(4):
        mask = np.random.default_rng(seed).integers(-1, 4, (12, 16))
        cases.append(case_of(mask, random_scores(4, 5, 7, seed=seed)))
        [answer] = segment(cases[-1].explanation, background=background)
        truth = torch.from_numpy(mask)
        counted = truth >= (0 if background == "none" else -1)
        truth, answer = truth[counted] % 5, answer[counted] % 5  # -1 is the last class
        reference.update(answer, truth)
    found = measure(cases, labels="all", background=background)
    expected = 100 * float(reference.compute())
    assert found["segmentation mIoU"] == pytest.approx(expected, abs=1e-4)


def test_many_classes():
    names = tuple(f"class {index}" for index in range(171))
    metric = SegmentationIoU(names, labels="all", background="none")
    mask = np.arange(40 * 40).reshape(40, 40) % 171
    metric.update(case_of(mask, random_scores(171, 10, 10), names))
    assert 0 <= metric.compute()["segmentation mIoU"] < 10
    assert metric.confusion.values.nbytes < 250_000


def test_explanations_without_dense_similarity_are_skipped():
    assert measure([random_case(0, similarity=False)]) == {}


def test_invalid_settings_are_refused():
    with pytest.raises(UnknownNameError, match="all, present"):
        SegmentationIoU(NAMES, labels="some")
    with pytest.raises(UnknownNameError, match="Did you mean 'words'"):
        SegmentationIoU(NAMES, background="word")
    with pytest.raises(InputError, match="within 0 to 1"):
        SegmentationIoU(NAMES, threshold=float("nan"))
    with pytest.raises(InputError, match="Expected background words"):
        measure([random_case(0)], background="words")
