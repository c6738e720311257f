import pytest

from clip_surgery.apps.cli.shared.sheet_options import read_width_mm
from clip_surgery.errors import InputError


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
