import dataclasses
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_surgery.errors import InputError
from clip_surgery.text.word_tokens import tokenize_words
from tests.towers import tiny_open_clip


@pytest.fixture(scope="module")
def tower():
    from clip_surgery.backbones.loading import wrap_backbone

    return wrap_backbone(tiny_open_clip()).text_tower


def pieces(tower, sentence):
    tokens = tokenize_words(tower, sentence)
    return [(word.text, word.end - word.begin) for word in tokens.words], tokens


def test_words_and_their_pieces(tower):
    word_pieces, tokens = pieces(tower, "A hummingbird's well-known trick, isn't it?")
    assert [text for text, _ in word_pieces] == [
        "A", "hummingbird's", "well-known", "trick", ",", "isn't", "it", "?",
    ]  # fmt: skip
    assert dict(word_pieces)["well-known"] == 3
    assert tokens.start == 1
    assert tokens.words[0].begin == 1
    assert tokens.words[-1].end == tokens.end == len(tokens.ids) - 1
    bounds = [(word.begin, word.end) for word in tokens.words]
    assert all(a[1] == b[0] for a, b in itertools.pairwise(bounds))


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=30))
def test_spans_cover_all_tokens_or_an_error_gives_the_reason(sentence):
    from clip_surgery.backbones.loading import wrap_backbone

    tower = wrap_backbone(tiny_open_clip()).text_tower
    if not sentence.strip():
        with pytest.raises(InputError, match="sentence with words"):
            tokenize_words(tower, sentence, truncate=True)
        return
    try:
        tokens = tokenize_words(tower, sentence, truncate=True)
    except InputError:  # control characters alone, which the tokenizer drops
        return
    assert tokens.words[0].begin == tokens.start
    for word in tokens.words:
        assert tokens.start <= word.begin < word.end <= tokens.end


def test_a_sentence_that_is_too_long(tower):
    long = "dog " * 100
    with pytest.raises(InputError, match="at most 77 tokens"):
        tokenize_words(tower, long)
    cut = tokenize_words(tower, long, truncate=True)
    assert len(cut.words) == 75
    assert cut.end == 76


@pytest.mark.parametrize("sentence", ["", "   ", "\n"])
def test_no_word(tower, sentence):
    with pytest.raises(InputError, match="sentence with words"):
        tokenize_words(tower, sentence)


def letters(texts, *, truncate=False):
    """A tokenizer without start token that pads with its end token, as SigLIP's does."""
    rows = torch.full((len(texts), 12), 1)
    for row, text in zip(rows, texts, strict=True):
        ids = [ord(letter) for letter in text.replace(" ", "")][:11]
        row[: len(ids)] = torch.tensor(ids, dtype=torch.int64)
    return rows


def test_towers_without_start_token(tower):
    other = dataclasses.replace(
        tower, tokenize=letters, causal=False, context_length=12,
        end_positions=lambda ids: torch.full((len(ids),), ids.shape[1] - 1),
    )  # fmt: skip
    tokens = tokenize_words(other, "ab cde")
    assert tokens.start == 0
    assert [(word.begin, word.end) for word in tokens.words] == [(0, 2), (2, 5)]
    assert tokens.end == 11
    assert len(tokens.ids) == 12


def test_words_that_the_tokenizer_joins_are_returned_as_one_word(tower):
    def joined(texts, *, truncate=False):
        """'x y' is one token."""
        rows = torch.zeros(len(texts), 8, dtype=torch.int64)
        for row, text in zip(rows, texts, strict=True):
            parts = text.replace("x y", "z").split()
            ids = [49406, *(ord(part[0]) for part in parts), 49407]
            row[: len(ids)] = torch.tensor(ids)
        return rows

    tokens = tokenize_words(dataclasses.replace(tower, tokenize=joined), "a x y b")
    assert [word.text for word in tokens.words] == ["a", "x y", "b"]
