import numpy as np
import pytest
import torch

from clip_surgery.errors import InputError
from clip_surgery.figures.words import sentence_sheet, word_levels, words_figure
from clip_surgery.word_explanation import WordExplanation
from tests.explanations import explained, random_scores


def example(
    scores=(0.9, 0.1, 0.4, 0.2, -0.3),
    texts=("[start]", "a", "dog", "a", "[end]"),
    evidence="similarity",
):
    kinds = tuple({"[start]": "start", "[end]": "end"}.get(text, "word") for text in texts)
    return WordExplanation(
        sentence=" ".join(texts),
        explanation=explained(random_scores(len(texts), 2, 3), texts=texts),
        kinds=kinds,
        scores=torch.tensor(scores),
        evidence=evidence,
    )


IMAGE = np.full((40, 60, 3), 128, np.uint8)


def test_levels_are_scaled_over_the_words():
    assert word_levels(example()) == pytest.approx([1.0, 0.0, 1.0, 1 / 3, 0.0], abs=1e-5)
    assert word_levels(example(scores=(0.5,) * 5)) == [0.0] * 5


def test_levels_of_contributions_begin_at_zero():
    scores = (0.1, 0.4, -0.2)
    levels = word_levels(example(scores, texts=("a", "dog", "cat"), evidence="contribution"))
    assert levels == pytest.approx([0.25, 1.0, 0.0], abs=1e-5)
    negative = example((-0.1, -0.4), texts=("a", "dog"), evidence="contribution")
    assert word_levels(negative) == [0.0, 0.0]


def test_a_figure_for_any_sentence():
    wide = words_figure(IMAGE, example())
    assert wide.mode == "RGB"
    one = words_figure(IMAGE, example(scores=(0.1, 0.2, 0.3), texts=("[start]", ".", "[end]")))
    assert one.width > 100
    many = tuple(f"word{number}" for number in range(60))
    tall = words_figure(IMAGE, example(scores=tuple(range(60)), texts=many), top=2)
    assert tall.height > wide.height


def test_long_sentences_are_broken_into_lines():
    many = tuple(f"word{number}" for number in range(60))
    explanation = example(scores=tuple(range(60)), texts=many)
    assert sentence_sheet(explanation, width=300).height > sentence_sheet(explanation).height


def test_bad_calls():
    with pytest.raises(InputError, match="top"):
        words_figure(IMAGE, example(), top=0)
    with pytest.raises(InputError, match="size"):
        words_figure(IMAGE[:20], example())
