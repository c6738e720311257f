import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip_surgery.inputs.names import printable


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("street.png", "street.png"),
        ("Straße 犬 🐶.png", "Straße 犬 🐶.png"),
        (b"caf\xe9.png", r"caf\xe9.png"),
        ("red\x1b[31m.png", r"red\x1b[31m.png"),
        ("two\nlines\t.png", r"two\x0alines\x09.png"),
        ("c1\x9b31m.png", r"c1\x9b31m.png"),
        ("\u202egnp.png", r"\u202egnp.png"),
        ("family 👨‍👩‍👧.png", "family 👨‍👩‍👧.png"),
    ],
)
def test_only_unsafe_characters_are_escaped(name, expected):
    assert printable(name) == expected


@given(st.binary(max_size=40))
def test_every_file_name_becomes_utf8_without_control_characters(name):
    shown = printable(name)
    json.dumps(shown).encode("utf-8")
    shown.encode("utf-8")
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in shown)
