import os
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from clip_surgery.figures import fonts
from clip_surgery.figures.fonts import break_into_lines, font

texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=60)


@given(text=texts, width=st.integers(30, 300), lines=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_fitted_lines_fit(text, width, lines):
    letters = font(12)
    fitted = break_into_lines(text, letters, width=width, lines=lines)
    assert len(fitted) <= lines
    assert all(letters.getlength(line) <= width for line in fitted)
    assert all(fitted)


@given(text=texts)
@settings(max_examples=30, deadline=None)
def test_a_text_that_fits_is_complete(text):
    assert " ".join(break_into_lines(text, font(12), width=10_000, lines=1)) == " ".join(
        text.split()
    )


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
def test_text_is_broken_into_lines(text, fitted):
    assert break_into_lines(text, font(10), width=54, lines=2) == fitted


def test_a_method_with_settings_breaks_at_its_bracket():
    lines = break_into_lines("clip_surgery(redundancy=none)", font(10), width=100, lines=2)
    assert lines == ["clip_surgery", "(redundancy=none)"]


def drawn(text, letters):
    image = Image.new("L", (40, 30))
    ImageDraw.Draw(image).text((2, 2), text, 255, letters)
    return np.asarray(image)


def test_the_bundled_font_is_used_if_it_has_all_letters(monkeypatch):
    monkeypatch.setattr(
        "matplotlib.font_manager.findSystemFonts", lambda: pytest.fail("other fonts were searched")
    )
    assert font(12, "dog", "собака", "σκύλος\n").getname() == ("DejaVu Sans", "Book")
    assert font(12, "dog", bold=True).getname() == ("DejaVu Sans", "Bold")


@pytest.fixture
def installed(monkeypatch):
    """A function that sets the font files of this machine."""

    def install(*paths):
        monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: list(paths))
        clear_caches()

    def clear_caches():
        fonts._installed.cache_clear()
        fonts._file_with.cache_clear()

    yield install
    clear_caches()


def test_the_font_with_most_letters_of_the_text_is_used(installed, tmp_path):
    """Fonts with fewer letters of the text than DejaVu are not used; broken files are ignored."""
    broken = tmp_path / "a.ttf"
    broken.write_bytes(b"no font")
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    signs, letters = folder / "STIXSizOneSymReg.ttf", folder / "STIXGeneral.ttf"
    installed(str(broken), str(signs))
    assert font(12, "\u23b0").getname()[0] == "STIXSizeOneSym"
    assert font(12, "dog \u23b0").getname()[0] == "DejaVu Sans"
    assert font(12, "狗").getname()[0] == "DejaVu Sans"  # no font has it
    installed(str(broken), str(signs), str(letters))
    assert font(12, "dog \u1d81").getname()[0] == "STIXGeneral"


def test_chinese_characters_are_drawn():
    """With a font of this machine, every letter is drawn, and all are different."""
    letters = font(16, "一只狗", "dog")
    if letters.getname()[0] == "DejaVu Sans":
        assert "CLIP_SURGERY_CI" not in os.environ
        pytest.skip("no font with Chinese letters on this machine (fonts-wqy-microhei has them)")
    images = [drawn(letter, letters) for letter in "一只狗d"]
    assert all(image.any() for image in images)
    assert all((a != b).any() for i, a in enumerate(images) for b in images[:i])
    plain = font(16)
    assert (
        drawn("狗", plain) == drawn("只", plain)
    ).all()  # both are drawn as the box of a missing glyph
