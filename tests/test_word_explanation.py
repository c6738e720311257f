from dataclasses import replace

import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.explanation import Explanation
from clip_surgery.word_explanation import WordExplanation
from tests.explanations import explained, random_scores


def example():
    texts = ("[start]", "a", "dog", "a", "[end]")
    return WordExplanation(
        sentence="a dog a",
        explanation=explained(random_scores(5, 2, 3), texts=texts, similarity=True),
        kinds=("start", "word", "word", "word", "end"),
        scores=torch.tensor([0.9, 0.1, 0.4, 0.2, 0.8]),
    )


def test_ranking():
    assert [(word.text, word.position) for word in example().ranking()] == [
        ("dog", 2),
        ("a", 3),
        ("a", 1),
    ]
    assert [word.text for word in example().ranking(ends=True)][:2] == ["[start]", "[end]"]


def test_save_and_load(tmp_path):
    path = tmp_path / "words.safetensors"
    example().save(path)
    again = WordExplanation.load(path)
    assert torch.equal(again.scores, example().scores)
    assert torch.equal(again.explanation.patch_scores[0], example().explanation.patch_scores[0])
    for name in ("sentence", "kinds", "words", "evidence"):
        assert getattr(again, name) == getattr(example(), name)
    with pytest.raises(InputError, match="format"):
        Explanation.load(path)


def test_shares_are_saved_and_add_up_to_the_fit(tmp_path):
    path = tmp_path / "words.safetensors"
    shares = torch.tensor([0.0, 0.125, 0.5, 0.125, 0.0])
    replace(example(), evidence="contribution", variance_shares=shares).save(path)
    again = WordExplanation.load(path)
    assert torch.equal(again.variance_shares, shares)
    assert again.fit == 0.75
    assert example().fit is None


def test_loading_another_file_is_an_error(tmp_path):
    path = tmp_path / "e.safetensors"
    example().explanation.save(path)
    with pytest.raises(InputError, match=r"e\.safetensors"):
        WordExplanation.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"kinds": ("word",) * 4},
        {"kinds": ("word",) * 4 + ("stop",)},
        {"scores": torch.zeros(4)},
        {"variance_shares": torch.zeros(4)},
        {"explanation": explained(*[random_scores(5, 2, 3)] * 2)},
    ],
)
def test_fields_whose_shapes_do_not_agree_are_refused(change):
    with pytest.raises(InputError):
        replace(example(), **change)
