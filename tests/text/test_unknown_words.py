from dataclasses import replace

import pytest

from clip_surgery.text.unknown_words import unknown_texts


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("dog", True),
        ("Dogs", True),
        ("two brown dogs on grass", True),
        ("bus", True),
        ("buses", True),
        ("soccer ball", True),
        ("ball", False),
        ("dogma", False),
        ("hotdog", False),
        ("harpsichord", False),
        ("", False),
    ],
)
def test_texts_that_contain_a_known_noun(open_clip_backbone, text, known):
    small = replace(open_clip_backbone, nouns=("dog", "bus", "soccer ball"))
    assert (unknown_texts(small, [text]) == ()) is known


def test_words_besides_nouns_are_known_too(open_clip_backbone):
    small = replace(open_clip_backbone, nouns=("dog",), other_words=("red", "grass"))
    assert unknown_texts(small, ["red", "on grass", "reddish", "blue"]) == ("reddish", "blue")


def test_models_without_a_list_of_nouns_know_all_texts(open_clip_backbone):
    assert unknown_texts(open_clip_backbone, ["harpsichord"]) == ()
