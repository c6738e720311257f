import pytest
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.layout import gallery, with_margins
from clip_surgery.figures.sheet import Picture, Sheet
from clip_surgery.figures.tiles import Style, Tile
from clip_surgery.framing import Size
from clip_surgery.inputs.images import read_image

TILE = Tile(
    Picture(Size(100, 200), lambda size: Image.new("RGB", (size.width, size.height))),
    "title",
    "note",
)


def test_a_tile_keeps_the_ratio_and_about_the_area():
    style = Style.of(read_image(Image.new("RGB", (640, 480))), tile=300)
    assert style.size == Size(260, 346)


@pytest.mark.parametrize(
    ("count", "columns", "in_a_row"), [(1, None, 1), (5, None, 5), (6, None, 3), (6, 2, 2)]
)
def test_rows_are_about_equally_long(count, columns, in_a_row):
    drawn = gallery([TILE] * count, columns=columns)
    assert drawn.width == 2 * 24 + in_a_row * 200 + (in_a_row - 1) * 14


def test_heading_colour_bar_and_notes_add_height():
    body = Sheet(300, 100)
    heights = [
        with_margins(body).height,
        with_margins(body, heading="h").height,
        with_margins(body, heading="h", colour_map="turbo").height,
        with_margins(body, heading="h", colour_map="turbo", notes=["one", "two"]).height,
    ]
    assert heights == sorted(set(heights))


def test_bad_galleries():
    with pytest.raises(InputError, match="at least one image"):
        gallery([])
    with pytest.raises(InputError, match="at least 1 column"):
        gallery([TILE], columns=0)
