import pytest
import torch

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.tasks.tags import tag_scores, tags
from tests.explanations import explained

COSINES = torch.tensor([[0.3, 0.1, 0.2], [-0.2, 0.25, 0.24]])


def example(cosines=COSINES, **parts):
    count = cosines.shape[1]
    scores = [torch.zeros(count, 2, 2) for _ in cosines]
    return explained(*scores, image_scores=cosines, texts=("dog", "cat", "cow")[:count], **parts)


@pytest.mark.parametrize("weighting", ["reference", "paper"])
@pytest.mark.parametrize("temperature", [0.0, 2.0, 10.0])
def test_surgery_is_the_written_out_formula(weighting, temperature):
    for row, cosines in zip(
        tag_scores(example(), weighting=weighting, temperature=temperature), COSINES, strict=True
    ):
        weights = torch.softmax(temperature * cosines, 0)
        weights = weights / weights.mean()
        weighted = weights * cosines
        own = weighted if weighting == "reference" else cosines
        torch.testing.assert_close(row, own - weighted.mean())


def test_softmax_is_the_baseline():
    torch.testing.assert_close(
        tag_scores(example(), score="softmax"), torch.softmax(100 * COSINES, 1)
    )
    assert torch.equal(tag_scores(example(), score="cosine"), COSINES)


def test_ranking_threshold_and_top():
    found = tags(example(), score="cosine")
    assert [[tag.text for tag in row] for row in found] == [
        ["dog", "cow", "cat"],
        ["cat", "cow", "dog"],
    ]
    assert found[0][0].score == pytest.approx(0.3)
    assert [len(row) for row in tags(example(), score="cosine", threshold=0.2)] == [2, 2]
    assert [len(row) for row in tags(example(), top=1)] == [1, 1]
    assert tags(example(), score="cosine", threshold=2) == [[], []]


def test_presence_leaves_absent_texts_out():
    reference_log_ratios = torch.tensor([[[9.0, -9.0, 9.0]] * 2, [[-9.0, 9.0, -9.0]] * 2])
    explanation = example(reference_log_ratios=reference_log_ratios)
    assert [[tag.text for tag in row] for row in tags(explanation, min_presence=0.5)] == [
        ["dog", "cow"],
        ["cat"],
    ]
    assert tags(explanation, score="presence", top=1)[1][0].text == "cat"


def test_one_text_and_no_image():
    assert tag_scores(example(COSINES[:, :1])).tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"score": "softmix"}, "Did you mean 'softmax'"),
        ({"top": 0}, "at least 1"),
        ({"min_presence": 0.5}, "vocabulary='small'"),
        ({"score": "presence"}, "vocabulary='small'"),
    ],
)
def test_bad_calls(call, reason):
    with pytest.raises(InputError, match=reason):
        tags(example(), **call)


def test_unknown_weighting():
    with pytest.raises(UnknownNameError):
        tag_scores(example(), weighting="mine")
