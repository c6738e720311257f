import pytest

from clip_surgery.errors import InputError
from clip_surgery.figures.bars import COLOURS, Panel, bars_figure
from clip_surgery.figures.page_format import PageFormat
from clip_surgery.figures.sheet import Box


def boxes(*rows, **options):
    drawn = bars_figure(
        [Panel("mIoU", [(str(i), row, "") for i, row in enumerate(rows)])], **options
    )
    return [part for part in drawn.elements if isinstance(part, Box)]


def test_bars_are_proportional_and_begin_at_zero():
    full, half, negative = boxes((40.0,), (20.0,), (-10.0,))
    assert full.width == pytest.approx(2 * half.width)
    assert full.x == half.x
    assert negative.x + negative.width == pytest.approx(full.x)


def test_zeros_and_missing_values_have_no_bar():
    assert boxes((0.0,), (None,)) == []


def test_two_values_have_two_bars():
    before, after = boxes((40.0, 20.0))
    assert (after.fill, before.fill) == COLOURS
    assert before.y < after.y


@pytest.mark.parametrize("width_mm", [40, 85, 180])
def test_panels_fit_the_page(width_mm):
    page = PageFormat.of_print(width_mm)
    panels = [Panel("x" * 60, [("clip_surgery(depth=3)" * 3, (1.0,), "1.0 -> 2.0" * 3)])] * 4
    drawn = bars_figure(panels, page=page)
    assert drawn.width == pytest.approx(page.width)
    assert all(line.left >= 0 for line in drawn.texts())
    assert all(line.left + line.font.getlength(line.text) <= page.width for line in drawn.texts())


def test_no_panel():
    with pytest.raises(InputError, match="at least one number"):
        bars_figure([])
