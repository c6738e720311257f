"""Tokenizers of both libraries keep their ids, and long texts are not cut silently."""

import open_clip
import pytest
import torch

from clip_surgery.backbones.tokenizers import tokenize_with, tokenizer_signature
from clip_surgery.errors import InputError
from tests.towers import END, START, clip_tokenizer

TEXTS = ["", "a photo of a cat.", "Zürich &amp; 猫 🙂", "  two   SPACES ", "x" * 60]
LONG = "word " * 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokenizer")
    clip_tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def simple():
    return open_clip.SimpleTokenizer(context_length=77)


@pytest.fixture(scope="module", params=["simple", "wrapper", "clips", "transformers"])
def tokenizer(request, folder, simple):
    from open_clip.tokenizer import HFTokenizer

    return {
        "simple": lambda: simple,
        "wrapper": lambda: HFTokenizer(str(folder), context_length=16),
        "clips": lambda: HFTokenizer(
            str(folder), context_length=16, tokenizer_mode="clips", cls_token="<|startoftext|>"
        ),
        "transformers": clip_tokenizer,
    }[request.param]()


@pytest.mark.parametrize("length", [8, 77])
def test_ids_equal_those_of_open_clip(simple, length):
    actual = tokenize_with(simple, context_length=length)([*TEXTS, LONG], truncate=True)
    assert torch.equal(actual, simple([*TEXTS, LONG], context_length=length))
    assert actual.dtype == torch.int64


def test_ids_equal_those_of_the_wrapper(folder):
    from open_clip.tokenizer import HFTokenizer

    tokenizer = HFTokenizer(str(folder), context_length=16)
    actual = tokenize_with(tokenizer, context_length=16)([*TEXTS[:4], LONG], truncate=True)
    assert torch.equal(actual, tokenizer([*TEXTS[:4], LONG]))


def test_the_longest_text_that_fits(tokenizer):
    """The longest text that is accepted is the longest that is not cut."""
    tokenize = tokenize_with(tokenizer, context_length=16)
    fits = 0
    for words in range(1, 20):
        text = " ".join(["cat"] * words)
        cut = tokenize([text], truncate=True)
        assert cut.shape == (1, 16)
        try:
            uncut = tokenize([text])
        except InputError:
            break
        assert torch.equal(uncut, cut)
        assert int((uncut == 2368).sum()) == words  # no word is missing
        fits = words
    assert fits == (13 if getattr(tokenizer, "tokenizer_mode", "") == "clips" else 14)
    shortened = tokenize([" ".join(["cat"] * (fits + 1))], truncate=True)
    assert int((shortened == 2368).sum()) == fits


def test_the_error_has_text_count_and_limit(tokenizer):
    tokenize = tokenize_with(tokenizer, context_length=16)
    with pytest.raises(InputError, match=r"at most 16 tokens, but got 2[23] tokens: 'word word"):
        tokenize(["a cat", LONG])


def test_a_cut_text_keeps_its_end_token(simple):
    actual = tokenize_with(simple, context_length=8)([LONG], truncate=True)[0]
    assert actual[0] == START
    assert actual[-1] == END


def test_no_texts(tokenizer):
    assert tokenize_with(tokenizer, context_length=16)([]).shape == (0, 16)


def test_the_signature_differs_between_tokenizers(simple):
    signatures = {
        tokenizer_signature(tokenize_with(tokenizer, context_length=77))
        for tokenizer in (simple, open_clip.SimpleTokenizer(clean="canonicalize"))
    }
    assert len(signatures) == 2


@pytest.mark.parametrize("tokenizer", [None, "clip", len, object()])
def test_unknown_tokenizers(tokenizer):
    with pytest.raises(InputError, match="tokenizer of open_clip"):
        tokenize_with(tokenizer, context_length=77)
