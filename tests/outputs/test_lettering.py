import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_surgery.outputs.lettering import fit, font

texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=60)


@given(text=texts, width=st.integers(30, 300), lines=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_fitted_lines_fit(text, width, lines):
    letters = font(12)
    fitted = fit(text, letters, width=width, lines=lines)
    assert len(fitted) <= lines
    assert all(letters.getlength(line) <= width for line in fitted)
    assert all(fitted)


@given(text=texts)
@settings(max_examples=30, deadline=None)
def test_nothing_is_lost_where_there_is_room(text):
    assert " ".join(fit(text, font(12), width=10_000, lines=1)) == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "fitted"),
    [
        ("", []),
        ("   ", []),
        ("dog", ["dog"]),
        ("a very small dog", ["a very", "small dog"]),
        ("one two three four five six", ["one two", "three fo…"]),
        ("Donaudampfschifffahrt", ["Donaudam", "pfschifff…"]),
    ],
)
def test_lines(text, fitted):
    assert fit(text, font(10), width=54, lines=2) == fitted


def test_a_method_with_settings_breaks_at_its_bracket():
    lines = fit("clip_surgery(redundancy=none)", font(10), width=100, lines=2)
    assert lines == ["clip_surgery", "(redundancy=none)"]
