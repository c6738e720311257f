import os
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_surgery.figures import fonts
from clip_surgery.figures.fonts import INK, font, missing_characters
from clip_surgery.figures.lines import break_into_lines
from clip_surgery.figures.sheet import text_image

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


def test_a_text_is_not_cut_inside_of_a_sign():
    family = "👨\u200d👩\u200d👧"
    [line] = break_into_lines(family * 30, font(12), width=60, lines=1)
    assert line.removesuffix("…") == family * (line.count("👨"))
    [marked] = break_into_lines("x\u0323\u0308" * 99, font(12), width=60, lines=1)
    assert marked.removesuffix("…").endswith("\u0308")


def drawn(text, letters):
    return np.asarray(text_image(text, letters, INK, 1.0))[..., 3]


def names_of(text, **options):
    return [Path(run.path).stem for run in font(12, **options).runs(text)]


def test_the_bundled_font_is_used_if_it_has_all_letters(monkeypatch):
    monkeypatch.setattr(
        "matplotlib.font_manager.findSystemFonts", lambda: pytest.fail("other fonts were searched")
    )
    assert names_of("dog собака σκύλος\n") == ["DejaVuSans"]
    assert names_of("a dog", bold=True) == ["DejaVuSans-Bold"]


@pytest.fixture
def installed(monkeypatch):
    """A function that sets the font files of this machine."""

    def install(*paths):
        monkeypatch.setattr("matplotlib.font_manager.findSystemFonts", lambda: list(paths))
        clear_caches()

    def clear_caches():
        for cached in (fonts._installed, fonts._file_with, fonts._runs, fonts._colour_font):
            cached.cache_clear()

    yield install
    clear_caches()


def test_each_letter_is_drawn_with_a_font_that_has_it(installed, tmp_path):
    """Broken files are ignored, and characters without a font are named."""
    broken = tmp_path / "a.ttf"
    broken.write_bytes(b"no font")
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    signs, letters = folder / "STIXSizOneSymReg.ttf", folder / "STIXGeneral.ttf"
    installed(str(broken), str(signs))
    assert names_of("\u23b0") == ["STIXSizOneSymReg"]
    assert names_of("dog \u23b0 x") == ["DejaVuSans", "STIXSizOneSymReg", "DejaVuSans"]
    assert names_of("狗") == ["DejaVuSans"]  # no font has it
    assert missing_characters(["dog 狗", "🐕狗\n"]) == "狗🐕"
    installed(str(broken), str(signs), str(letters))
    assert names_of("\u1d81") == ["STIXGeneral"]
    assert missing_characters(["dog \u23b0\u1d81"]) == ""


def test_right_to_left_text_is_drawn_from_right_to_left():
    """Letters of Arabic join, so a word is shorter than they are; it begins at the right."""
    word = "بيت"
    letters = font(40)
    assert letters.getlength(word) < 0.9 * sum(map(letters.getlength, word))
    first = drawn("بـ", letters)
    whole = drawn(word, letters)
    is_inked = first.any(0)
    edge = np.flatnonzero(is_inked)[-1] - first.shape[1]
    assert np.flatnonzero(whole.any(0))[-1] - whole.shape[1] == edge


def test_runs_of_right_to_left_text_are_ordered_from_left_to_right(installed):
    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    installed(str(folder / "STIXSizOneSymReg.ttf"))
    assert [run.text for run in font(12).runs("בית \u23b0")] == ["\u23b0", "בית "]
    assert [run.text for run in font(12).runs("dog \u23b0")] == ["dog ", "\u23b0"]


def skip_without_font(text, package):
    if missing_characters([text]):
        assert "CLIP_SURGERY_CI" not in os.environ
        pytest.skip(f"no font for {text} on this machine ({package} has one)")


def test_chinese_characters_are_drawn():
    """With a font of this machine, every letter is drawn, and all are different."""
    skip_without_font("一只狗", "fonts-wqy-microhei")
    images = [drawn(letter, font(16)) for letter in "一只狗"]
    assert all(image.any() for image in images)
    assert all((a != b).any() for i, a in enumerate(images) for b in images[:i])


def test_emoji_are_drawn_in_colour():
    skip_without_font("🐕", "fonts-noto-color-emoji")
    if not font(16).runs("🐕")[0].is_colour:
        pytest.skip("the font of this machine has no coloured emoji")
    pixels = np.asarray(text_image("a 🐕", font(32), INK, 1.0))[..., :3]
    assert np.ptp(pixels.astype(int), axis=-1).max() > 60
    assert font(32).getlength("👨\u200d👩\u200d👧") == font(32).getlength("🐕")
