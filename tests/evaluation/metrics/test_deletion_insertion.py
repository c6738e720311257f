"""Deletion and insertion against a version that computes one frame after another."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import ImageFilter

import clip_surgery as cs
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.metrics.deletion_insertion import (
    DeletionInsertion,
    on_frame,
    patch_ranks,
)
from clip_surgery.evaluation.metrics.evaluated_image import EvaluatedImage
from clip_surgery.framing import Framing, FramingRule, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.surgery.walk import walk
from clip_surgery.windows import Windows, explain_windows
from tests.cases import NAMES, explained_case, random_case, sample_of
from tests.explanations import random_scores
from tests.towers import tiny_open_clip

MASK = np.zeros((40, 56), int)
MASK[:, 20:] = 2


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(tiny_open_clip(), templates="name", cache=False, batch_size=3)


def naive(explainer, sample, names, index, *, steps, score, blur):
    """Deletion and insertion of one name, a frame at a time."""
    input_image = read_image(sample.image)
    patch = explainer.backbone.tower.patch_size
    features = explainer.encode(names)
    evidence = explainer([sample.image], names).patch_scores[0][index]
    whole = explainer.pixels(input_image)
    radius = blur * patch * input_image.size.height / explainer.frame(input_image).content.height
    smooth = input_image.image.filter(ImageFilter.GaussianBlur(radius))
    blurred = explainer.pixels(InputImage(image=smooth, name="blurred"))
    cells = sorted(
        ((row, column) for row in range(len(evidence)) for column in range(evidence.shape[1])),
        key=lambda cell: -float(evidence[cell]),
    )

    def scored(frame):
        feature = walk(explainer.backbone.tower, frame).image[0]
        texts = torch.cat([features.labels, features.empty[None]])
        cosines = torch.cosine_similarity(feature[None], texts, dim=1)
        if score == "cosine":
            return float(cosines[index])
        rivals = cosines if len(names) == 1 else cosines[:-1]
        return float((explainer.backbone.logit_scale * rivals).softmax(dim=0)[index])

    steps = min(steps, len(cells))
    counts = [round(len(cells) * step / steps) for step in range(steps + 1)]
    deletion, insertion = [], []
    for count in counts:
        deleted, inserted = whole.clone(), blurred.clone()
        for row, column in cells[:count]:
            there = (..., slice(patch * row, patch * row + patch))
            there += (slice(patch * column, patch * column + patch),)
            deleted[there] = 0
            inserted[there] = whole[there]
        with torch.no_grad():
            deletion.append(scored(deleted))
            insertion.append(scored(inserted))
    shares = np.array(counts) / len(cells)
    return [100 * np.trapezoid(curve, shares) for curve in (deletion, insertion)]


@pytest.mark.parametrize("score", ["probability", "cosine"])
@pytest.mark.parametrize(("steps", "names"), [(7, NAMES), (1000, NAMES), (1, NAMES), (4, ("cat",))])
def test_naive(explainer, score, steps, names):
    sample = sample_of(MASK if len(names) > 1 else np.minimum(MASK, 0), names)
    metric = DeletionInsertion(names, steps=steps, score=score, blur=0.7)
    metric.update(explained_case(explainer, sample, names))
    present = [0, 2] if len(names) > 1 else [0]
    expected = np.mean(
        [
            naive(explainer, sample, names, index, steps=steps, score=score, blur=0.7)
            for index in present
        ],
        axis=0,
    )
    found = metric.compute()
    assert found["deletion"] == pytest.approx(expected[0], abs=1e-4)
    assert found["insertion"] == pytest.approx(expected[1], abs=1e-4)


def test_the_right_order_beats_the_wrong_one(explainer):
    """Evidence that is what each patch does to the score, against the same reversed."""
    sample = sample_of(np.zeros((32, 32), int), ("cat", "dog"))
    input_image = read_image(sample.image)
    features = explainer.encode(("cat", "dog"))
    whole = explainer.pixels(input_image)
    effect = torch.zeros(2, 4, 4)
    for row in range(4):
        for column in range(4):
            frame = whole.clone()
            frame[..., 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 0
            with torch.no_grad():
                feature = walk(explainer.backbone.tower, frame).image
            effect[:, row, column] = -torch.cosine_similarity(feature, features.labels, dim=1)
    explained = explained_case(explainer, sample, ("cat", "dog"))
    values = []
    for scores in (effect, -effect):
        explanation = replace(explained.explanation, patch_scores=(scores,))
        case = EvaluatedImage(
            explanation=explanation, sample=sample, names=("cat", "dog"), explainer=explainer
        )
        metric = DeletionInsertion(("cat", "dog"), score="cosine")
        metric.update(case)
        values.append(metric.compute())
    assert values[0]["deletion"] < values[1]["deletion"]


def test_features_at_hand_are_not_encoded_again(explainer, monkeypatch):
    sample, prompts = sample_of(MASK), (("cat",), ("dog", "puppy"), ("bus",), ("tree",))
    texts = ("cat", "dog", "puppy", "bus", "tree", "wall")
    features = explainer.encode(texts)
    parts = {
        "explanation": explainer([sample.image], texts),
        "sample": sample,
        "names": NAMES,
        "prompts": prompts,
        "background": ("wall",),
        "explainer": explainer,
    }
    without, given = DeletionInsertion(NAMES, steps=2), DeletionInsertion(NAMES, steps=2)
    without.update(EvaluatedImage(**parts))
    monkeypatch.setattr(type(explainer), "encode", lambda *_: pytest.fail("encoded again"))
    given.update(EvaluatedImage(**parts, features=features))
    assert given.compute() == pytest.approx(without.compute(), abs=1e-4)


def test_margins_and_windows(explainer):
    """A letterbox margin is never a step, and a finer grid is read where the patches are."""
    sample = sample_of(MASK)
    letterbox = cs.wrap(
        explainer.backbone.model,
        templates="name",
        cache=False,
        framing=FramingRule(mode="letterbox"),
    )
    tall = EvaluatedImage(
        explanation=explain_windows(explainer, sample.image, NAMES, windows=Windows(size=80)),
        sample=sample,
        names=NAMES,
        explainer=explainer,
    )
    for case in (explained_case(letterbox, sample), tall):
        metric = DeletionInsertion(NAMES, steps=5)
        metric.update(case)
        assert all(0 <= value <= 100 for value in metric.compute().values())


def test_maps_come_onto_another_frame():
    original = Size(40, 60)
    fine = Framing.squash(original, frame=Size(64, 96))
    coarse = Framing.letterbox(original, frame=Size(32, 32))
    maps = random_scores(2, 8, 12)
    same = on_frame(maps, fine, fine, PatchGrid(8, 12))
    assert torch.equal(same, maps)
    there = on_frame(maps, fine, coarse, PatchGrid(4, 4))
    # content is 21 x 32 px at row 5: the centre of patch (1, 2) is at y (12 - 5) / 21
    assert torch.equal(there[:, 1, 2], maps[:, int(8 * 7 / 21), int(12 * 20 / 32)])


def test_ranks_leave_out_what_is_not_in_the_image():
    maps = torch.tensor([[[1.0, 3.0], [3.0, 9.0]]])
    inside = torch.tensor([[True, True], [True, False]])
    assert patch_ranks(maps, inside).tolist() == [[[2.0, 0.0], [1.0, float("inf")]]]


def test_invalid_settings_are_refused():
    with pytest.raises(InputError, match="steps and a blur above 0"):
        DeletionInsertion(NAMES, steps=0)
    with pytest.raises(InputError, match="steps and a blur above 0"):
        DeletionInsertion(NAMES, blur=float("nan"))
    with pytest.raises(UnknownNameError, match="'cosine'"):
        DeletionInsertion(NAMES, score="cosin")
    with pytest.raises(InputError, match="with its explainer"):
        DeletionInsertion(NAMES).update(random_case(0))
