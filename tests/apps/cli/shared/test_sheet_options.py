from pathlib import Path

import pytest
from PIL import Image

from clip_surgery.apps.cli.shared.sheet_options import read_width_mm
from clip_surgery.errors import InputError
from clip_surgery.figures import fonts


@pytest.mark.parametrize(
    ("text", "width"),
    [("85mm", 85), ("8.5 cm", 85), ("1in", 25.4), ("300PX", 25.4), ("600", 50.8)],
)
def test_widths(text, width):
    assert read_width_mm(text) == pytest.approx(width)


@pytest.mark.parametrize("text", ["", "wide", "-85mm", "85em", "1e3mm", "nan", "\u0668mm"])
def test_no_widths(text):
    with pytest.raises(InputError, match="a width such as 85mm or 1200px"):
        read_width_mm(text)


@pytest.mark.parametrize("text", ["0", "19mm", "2000mm", "9" * 400])
def test_widths_out_of_range(text):
    with pytest.raises(InputError, match="from 20 mm to 1000 mm"):
        read_width_mm(text)


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        pytest.param("compare", ["dog", "--methods", "similarity"], marks=pytest.mark.slow),
        pytest.param("points", ["dog"], marks=pytest.mark.slow),
        ("segment", ["dog", "train"]),
        pytest.param("tag", ["dog", "train"], marks=pytest.mark.slow),
        pytest.param("words", ["a dog"], marks=pytest.mark.slow),
        pytest.param("inspect", ["dog"], marks=pytest.mark.slow),
        pytest.param("match", ["a dog"], marks=pytest.mark.slow),
    ],
)
def test_every_figure_has_a_width_a_plain_form_and_vector_files(cli, scene, command, texts):
    done = cli(command, scene, *texts, "-f", "png,pdf,svg", "--width", "60mm", "--plain")
    assert done.code == 0, done.err
    name = f"out/scene.{command}"
    with Image.open(f"{name}.png") as drawn:
        assert drawn.width == pytest.approx(709, abs=1)  # 60 mm at 300 dpi
    assert Path(f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert b"<svg" in Path(f"{name}.svg").read_bytes()
    refused = cli(command, scene, *texts, "--width", "wide")
    assert refused.code == 2
    assert "a width such as 85mm or 1200px" in refused.err


def test_characters_without_a_font_are_named_in_one_line(cli, scene, monkeypatch):
    monkeypatch.setattr(fonts, "_installed", lambda bold: [])
    monkeypatch.setattr(fonts, "_colour_font", lambda: None)
    for cached in (fonts._file_with, fonts._runs):
        cached.cache_clear()
    done = cli("explain", scene, "dog \U0001fabf", "\U0001fabf", "-f", "png", "--templates", "name")
    for cached in (fonts._file_with, fonts._runs):
        cached.cache_clear()
    assert done.code == 0
    [line] = [line for line in done.err.splitlines() if "no font of this machine" in line]
    assert "\U0001fabf" in line
