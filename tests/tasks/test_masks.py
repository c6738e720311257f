import numpy as np
import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.inputs.images import read_image
from clip_surgery.segmenters.segmenter import Candidates
from clip_surgery.tasks.masks import mask_at, masks
from clip_surgery.tasks.points import points
from tests.explanations import explained, random_scores


class Recorder:
    """A segmenter that keeps what it was shown; the second of three masks is the best."""

    def __init__(self):
        self.calls = []

    def __call__(self, picture, prompts):
        self.calls.append((picture, list(prompts)))
        found = []
        for number, _ in enumerate(prompts):
            proposed = torch.zeros(3, *picture.size, dtype=torch.bool)
            proposed[1, number] = True
            found.append(Candidates(masks=proposed, scores=torch.tensor([0.1, 0.9, 0.5])))
        return found


@pytest.fixture
def explanation():
    scores = random_scores(3, 8, 8)
    scores[2] = 0.0  # a flat map
    return explained(scores, random_scores(3, 8, 8, seed=1), texts=("dog", "cat", "cow"))


IMAGES = [np.zeros((40, 60, 3), np.uint8)] * 2


def test_best_mask_of_every_text(explanation):
    segmenter = Recorder()
    found = masks(explanation, IMAGES, segmenter, ["dog", "cow", "cat"])
    assert [len(prompts) for _, prompts in segmenter.calls] == [2, 3]  # one call an image
    dog, cow, cat = found[0]
    assert cow is None
    assert (dog.text, cat.text) == ("dog", "cat")
    assert dog.score == pytest.approx(0.9)
    assert dog.mask[0].all()
    assert cat.mask[1].all()
    expected = points(explanation, "cat", rule="peaks")[0][0]
    np.testing.assert_array_equal(cat.points.xy, expected.xy)
    np.testing.assert_array_equal(segmenter.calls[0][1][1].xy, expected.xy)
    assert found[1][1] is not None


def test_one_text_and_several_as_one_object(explanation):
    assert [len(row) for row in masks(explanation, IMAGES, Recorder(), "dog")] == [1, 1]
    both = masks(explanation, IMAGES, Recorder(), [("dog", "cat")])[0][0]
    assert both.text == "dog+cat"
    expected = points(explanation, ["dog", "cat"], union=True, rule="peaks")[0][0]
    np.testing.assert_array_equal(both.points.xy, expected.xy)


def test_prompt_kinds(explanation):
    segmenter = Recorder()
    [found] = masks(explanation, IMAGES, segmenter, "dog", prompt_kinds=["box", "map"])[0]
    shown = segmenter.calls[0][1][0]
    assert len(shown.xy) == len(found.points) == 0
    assert shown.box == found.box.xyxy
    assert shown.logits.shape == (40, 60)
    assert shown.logits.amax() == pytest.approx(10)
    assert shown.logits.amin() == pytest.approx(-10)


def test_absent_texts_have_no_mask():
    reference_log_ratios = torch.tensor([[[9.0, -9.0]] * 2])
    explanation = explained(random_scores(2, 8, 8), reference_log_ratios=reference_log_ratios)
    [row] = masks(explanation, IMAGES[:1], Recorder(), ["text 0", "text 1"], min_presence=0.5)
    assert [one is None for one in row] == [False, True]
    untouched = Recorder()
    assert masks(explanation, IMAGES[:1], untouched, "text 1", min_presence=0.5) == [[None]]
    assert untouched.calls == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"images": IMAGES[:1]}, "2 explained images, but got 1"),
        ({"images": "street.jpg"}, "2 explained images, but got 1"),
        ({"images": [np.zeros((40, 61, 3), np.uint8)] * 2}, r"^0\.jpg: expected the explained"),
        ({"texts": []}, "at least one text"),
        ({"texts": [()]}, "at least one text"),
        ({"texts": "bird"}, "Unknown text 'bird'"),
        ({"prompt_kinds": []}, "at least one prompt kind"),
        ({"prompt_kinds": ["boxes"]}, "Did you mean 'box'"),
    ],
)
def test_bad_calls(explanation, change, reason):
    call = {"images": IMAGES, "texts": "dog", **change}
    images, texts = call.pop("images"), call.pop("texts")
    with pytest.raises(InputError, match=reason):
        masks(explanation, images, Recorder(), texts, **call)


def test_masks_accept_a_single_image(explanation):
    alone = explanation[0]
    [[from_image]] = masks(alone, IMAGES[0], Recorder(), "dog")
    [[from_list]] = masks(alone, IMAGES[:1], Recorder(), "dog")
    assert torch.equal(from_image.mask, from_list.mask)


def test_the_best_mask_at_a_point():
    segmenter = Recorder()
    mask = mask_at(read_image(IMAGES[0]), (59, 7.5), segmenter)
    [(_, [prompt])] = segmenter.calls
    assert (prompt.xy.tolist(), prompt.labels.tolist()) == ([[59, 7.5]], [1])
    assert mask.score == pytest.approx(0.9)
    assert mask.mask[0].all()


@pytest.mark.parametrize("point", [(60, 0), (0, 40), (-1, 0), (float("nan"), 0)])
def test_a_point_outside_of_the_image_has_no_mask(point):
    with pytest.raises(InputError, match=r"a point within 60 x 40 px \(x, y\)"):
        mask_at(read_image(IMAGES[0]), point, Recorder())
