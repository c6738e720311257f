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
def test_texts_that_hold_a_known_noun(open_clip_backbone, text, known):
    small = replace(open_clip_backbone, nouns=("dog", "bus", "soccer ball"))
    assert (unknown_texts(small, [text]) == ()) is known


def test_models_that_know_many_words_know_all(open_clip_backbone):
    assert unknown_texts(open_clip_backbone, ["harpsichord"]) == ()
