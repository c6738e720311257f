"""The argument `texts` means the same in every task."""

import pytest
import torch

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.tasks.boxes import boxes
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.masks import masks
from clip_surgery.tasks.peaks import peaks
from clip_surgery.tasks.points import points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import segment
from clip_surgery.tasks.tags import tags
from clip_surgery.tasks.text_selection import select_texts
from tests.explanations import explained, random_scores

TEXTS = ("dog", "cat", "a dog, running")
TASKS = {
    "boxes": boxes,
    "heatmaps": heatmaps,
    "peaks": peaks,
    "points": points,
    "presence": presence,
    "tags": tags,
}


@pytest.fixture
def explanation():
    return explained(
        random_scores(3, 5, 5), random_scores(3, 5, 5, seed=1), texts=TEXTS, similarity=True,
        image_scores=random_scores(2, 3), reference_log_ratios=random_scores(2, 2, 3),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "union", "names", "groups"),
    [
        (None, False, TEXTS, [(0,), (1,), (2,)]),
        (None, True, ("dog+cat+a dog, running",), [(0, 1, 2)]),
        ("cat", False, ("cat",), [(1,)]),
        (["cat", "dog"], False, ("cat", "dog"), [(1,), (0,)]),
        (["cat", "dog"], True, ("cat+dog",), [(1, 0)]),
        (["cat", "cat"], False, ("cat", "cat"), [(1,), (1,)]),
        ([["cat", "dog"], "dog"], False, ("cat+dog", "dog"), [(1, 0), (0,)]),
        (["cat, dog"], False, ("cat+dog",), [(1, 0)]),
        ("a dog, running", False, ("a dog, running",), [(2,)]),
    ],
)
def test_selections(explanation, texts, union, names, groups):
    selection = select_texts(explanation, texts, union=union)
    assert selection.names == names
    assert list(selection.groups) == groups


def test_a_text_at_two_positions_is_their_union():
    explanation = explained(random_scores(3, 4, 4), texts=("a", "dog", "a"))
    assert select_texts(explanation, "a").groups == ((0, 2),)
    assert select_texts(explanation, None).groups == ((0,), (1,), (2,))
    [both] = heatmaps(explanation, "a")
    [each] = heatmaps(explanation)
    assert torch.equal(both[0], each[[0, 2]].amax(0))


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        ([], "at least one text"),
        ([[]], "at least one text"),
        ([3], "Expected texts, but got int"),
        ([["dog", 3]], "Expected texts, but got int"),
        ("dgo", "Did you mean 'dog'"),
        ("dog,dgo", "Did you mean 'dog'"),
        ("dog,", "names in every class"),
        ([["dog", "dog"]], "'dog' more than once"),
    ],
)
@pytest.mark.parametrize("task", [*TASKS.values(), segment])
def test_bad_texts(explanation, task, texts, reason):
    with pytest.raises(InputError, match=reason):
        task(explanation, texts)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_one_result_per_image_and_text(explanation, name):
    task = TASKS[name]
    for texts, count in ((None, 3), ("cat", 1), (["cat", "dog"], 2), ([["cat", "dog"], "dog"], 2)):
        assert [len(of_image) for of_image in task(explanation, texts)] == [count, count]
    assert [len(of_image) for of_image in task(explanation, union=True)] == [1, 1]
    assert [len(of_image) for of_image in task(explanation[1], "dog")] == [1]


def test_the_score_of_a_union_is_the_highest_of_its_texts(explanation):
    each = presence(explanation)
    assert torch.equal(presence(explanation, [["cat", "dog"]])[:, 0], each[:, :2].amax(1))
    cosines = explanation.image_scores
    found = tags(explanation, "cat,dog", score="cosine")
    assert [tag.text for [tag] in found] == ["cat+dog", "cat+dog"]
    assert [tag.score for [tag] in found] == pytest.approx(cosines[:, :2].amax(1).tolist())
    highest = peaks(explanation, "cat,dog")[0][0]
    assert highest == max(peaks(explanation)[0][:2], key=lambda peak: peak.score)


def test_a_union_ignores_its_absent_texts():
    ratios = torch.tensor([[[9.0, -9.0, 9.0]] * 2])
    explanation = explained(random_scores(3, 5, 5), texts=TEXTS, reference_log_ratios=ratios)
    for task in (boxes, points):
        [[both]] = task(explanation, [["dog", "cat"]], min_presence=0.5)
        [[dog]] = task(explanation, "dog")
        if task is points:
            both, dog = both.xy.tolist(), dog.xy.tolist()
        assert both == dog


def test_masks_name_the_segmenter_that_is_missing(explanation):
    with pytest.raises(InputError, match="segmenter as third argument, but got list"):
        masks(explanation, ["a.png", "b.png"], ["dog"], lambda image, prompts: [])
    with pytest.raises(UnknownNameError, match="Unknown text 'pig'"):
        masks(explanation, ["a.png", "b.png"], lambda image, prompts: [], "pig")
