import itertools
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import InputError
from clip_surgery.text.sentence_words import split_words
from clip_surgery.text.word_directions import (
    MAX_WORDS,
    presence_design,
    variance_shares,
    without_words,
    word_directions,
)
from tests.zoo import TOWER_PARAMS, TOWERS, text_features

SHORT = "a red dog, here"
LONG = "one big red dog and two small cats sit near a house"


@torch.no_grad()
def model_features(backbone, sentences):
    """Unit features by the code of the model's own library."""
    ids = backbone.text_tower.tokenize(sentences)
    return normalize(text_features(backbone.model, ids).float(), dim=-1)


@pytest.mark.parametrize("name", TOWER_PARAMS)
def test_directions_are_differences_of_means_over_all_sets(name):
    """Written out: for every set of the other words, the sentence with and without the word."""
    backbone = wrap_backbone(TOWERS[name](seed=0))
    found = word_directions(backbone, SHORT)
    words = split_words(SHORT)
    assert found.words == words
    for word in range(len(words)):
        differences = []
        for others in itertools.product([False, True], repeat=len(words) - 1):
            pair = [
                without_words(SHORT, words, [*others[:word], present, *others[word:]])
                for present in (False, True)
            ]
            without, with_word = model_features(backbone, pair)
            differences.append(with_word - without)
        expected = torch.stack(differences).mean(dim=0)
        torch.testing.assert_close(found.directions[word], expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("sentence", ["a red dog, here", LONG])
def test_directions_are_the_coefficients_of_full_least_squares(open_clip_backbone, sentence):
    found = word_directions(open_clip_backbone, sentence)
    words = found.words
    prompts = [without_words(sentence, words, row) for row in found.presence.tolist()]
    features = model_features(open_clip_backbone, prompts).double()
    design = torch.cat([torch.ones(len(prompts), 1), found.presence.float() - 0.5], dim=1).double()
    solution = torch.linalg.lstsq(design, features).solution
    torch.testing.assert_close(found.directions.double(), solution[1:], atol=1e-6, rtol=0)
    image = normalize(torch.randn(features.shape[1], dtype=torch.float64), dim=0)
    cosines = features @ image
    residual = cosines - design @ (solution @ image)
    expected = 1 - residual.square().sum() / (cosines - cosines.mean()).square().sum()
    shares = variance_shares((solution[1:] @ image).float(), cosines.float())
    assert float(shares.sum()) == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("words", [1, 2, 5, 8, 9, 12, 75, MAX_WORDS])
def test_words_are_independent_and_clear_of_pairs(words):
    design = presence_design(words)
    assert len(design) == min(2**words, 256)
    signs = design.double() * 2 - 1
    count = len(signs)
    torch.testing.assert_close(signs.T @ signs, torch.eye(words, dtype=torch.float64) * count)
    assert signs.sum(dim=0).abs().max() == 0
    pairs = torch.stack([signs[:, a] * signs[:, b] for a, b in itertools.combinations(
        range(min(words, 20)), 2)], dim=1) if words > 1 else torch.zeros(count, 1)  # fmt: skip
    assert (signs.T @ pairs.double()).abs().max() == 0


def test_up_to_eight_words_have_all_sets():
    for words in range(1, 9):
        assert len({tuple(row) for row in presence_design(words).tolist()}) == 2**words


def test_words_are_deleted_with_the_space_before_them():
    words = split_words(" A dog,  running.")
    assert without_words(" A dog,  running.", words, [True] * 5) == "A dog,  running."
    assert without_words(" A dog,  running.", words, [False, True, False, True, True]) == (
        "dog  running."
    )
    assert without_words(" A dog,  running.", words, [False] * 5) == ""


def test_one_word_is_compared_with_the_empty_sentence(open_clip_backbone):
    found = word_directions(open_clip_backbone, "dog")
    empty, word = model_features(open_clip_backbone, ["", "dog"])
    torch.testing.assert_close(found.directions[0], word - empty, atol=2e-6, rtol=0)


def test_a_word_that_the_tokenizer_ignores_has_no_direction(open_clip_backbone):
    tower = open_clip_backbone.text_tower

    def without_quiet(texts, *, truncate=False):
        return tower.tokenize([text.replace("quiet", "") for text in texts], truncate=truncate)

    backbone = replace(open_clip_backbone, text_tower=replace(tower, tokenize=without_quiet))
    found = word_directions(backbone, "dog quiet cat")
    assert found.directions[1].tolist() == [0.0] * found.directions.shape[1]
    assert float(found.directions[0].norm()) > 0.01


def test_no_variance_gives_zero_shares():
    shares = variance_shares(torch.zeros(3), torch.full((8,), 0.25))
    assert shares.tolist() == [0, 0, 0]


def test_words_beyond_the_context_length(open_clip_backbone):
    long = "dog " * 100
    with pytest.raises(InputError, match="at most 77 tokens"):
        word_directions(open_clip_backbone, long)
    found = word_directions(open_clip_backbone, long, truncate=True)
    assert len(found.words) == 75
    assert found.directions.isfinite().all()


def test_too_many_words(open_clip_backbone, monkeypatch):
    monkeypatch.setattr("clip_surgery.text.word_directions.MAX_WORDS", 3)
    with pytest.raises(InputError, match="at most 3 words, but got 4"):
        word_directions(open_clip_backbone, "a b c d")
    assert len(word_directions(open_clip_backbone, "a b c d", phrases=["a b"]).words) == 3


def test_the_same_call_gives_the_same_result(open_clip_backbone):
    first, second = (word_directions(open_clip_backbone, LONG) for _ in range(2))
    assert torch.equal(first.directions, second.directions)
