import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.framing import Framing, Size
from clip_surgery.tasks.segmentation import segment
from clip_surgery.tasks.text_selection import split_names
from tests.explanations import explained, random_scores

TEXTS = ("person", "man", "sky", "grass")


def example(seed=0, count=4):
    return explained(random_scores(count, 5, 7, seed=seed), texts=TEXTS[:count], similarity=True)


def resized(scores):
    return F.interpolate(scores[None], (40, 60), mode="bilinear", align_corners=False)[0]


def test_argmax_after_resizing():
    explanation = example()
    expected = resized(explanation.similarity[0]).argmax(0)
    [found] = segment(explanation)
    assert found.dtype == torch.int64
    assert torch.equal(found, expected)


def test_segmentation_ignores_feature_surgery():
    explanation = example()
    object.__setattr__(explanation, "patch_scores", tuple(-s for s in explanation.patch_scores))
    assert torch.equal(segment(explanation)[0], segment(example())[0])


@pytest.mark.parametrize(
    "names", [["person,man", "sky", "grass"], [["person", "man"], "sky", "grass"]]
)
def test_several_names_a_class(names):
    maps = resized(example().similarity[0])
    expected = torch.stack([maps[:2].amax(0), maps[2], maps[3]]).argmax(0)
    assert torch.equal(segment(example(), names)[0], expected)


def test_background_by_words():
    maps = resized(example().similarity[0])
    expected = maps.argmax(0)
    expected = torch.where(expected < 2, expected, -1)
    found = segment(
        example(), ["person", "man"], background="words", background_words=["sky", "grass"]
    )
    assert torch.equal(found[0], expected)


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.6, 1.0])
def test_background_by_threshold(threshold):
    maps = resized(example().similarity[0])
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    winner = maps.argmax(0)
    level = ((maps - low) / (high - low)).gather(0, winner[None])[0]
    expected = winner.masked_fill(level < threshold - 1e-6, -1)
    found = segment(example(), background="threshold", threshold=threshold)
    assert torch.equal(found[0], expected)


def test_each_image_at_its_own_size():
    framings = (
        Framing.keep_ratio(Size(33, 100), short_side=32, multiple_of=16),
        Framing.letterbox(Size(70, 20), frame=Size(64, 64)),
    )
    scores = (random_scores(2, 2, 6), random_scores(2, 4, 4))
    found = segment(explained(*scores, framing=framings, similarity=True))
    assert [tuple(one.shape) for one in found] == [(33, 100), (70, 20)]


def test_a_flat_map_goes_to_the_first_text_or_the_background():
    flat = explained(torch.zeros(2, 3, 3), similarity=True)
    assert segment(flat)[0].unique().tolist() == [0]
    assert segment(flat, background="threshold")[0].unique().tolist() == [-1]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"texts": []}, "at least one text"),
        ({"texts": ["person,"]}, "names in every class"),
        ({"texts": ["person", "person"]}, "'person' more than once"),
        ({"texts": ["person", ["man", "man"]]}, "'man' more than once"),
        ({"texts": ["dog"]}, "Unknown text 'dog'"),
        ({"background": "word"}, "Did you mean 'words'"),
        ({"background": "threshold", "threshold": 1.5}, "but got 1.5"),
        ({"background": "words"}, "background words"),
        ({"background_words": ["sky"]}, "background words"),
    ],
)
def test_bad_calls(call, reason):
    with pytest.raises(InputError, match=reason):
        segment(example(), **call)


def test_a_method_without_similarity():
    with pytest.raises(InputError, match="dense similarity, but test has none"):
        segment(explained(random_scores(2, 3, 3)))
    with pytest.raises(InputError, match=r"0\.jpg: expected finite"):
        segment(explained(torch.full((2, 3, 3), float("nan")), similarity=True))


def test_split_names():
    assert split_names(["person, man", ("sky",)]) == [("person", "man"), ("sky",)]
    with pytest.raises(InputError, match="one string"):
        split_names("person")
    with pytest.raises(UnknownNameError):
        segment(example(), background="none of these")
