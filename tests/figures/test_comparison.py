import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.comparison import comparison
from clip_surgery.figures.page_format import MARGIN, UNITS_PER_MM, PageFormat
from clip_surgery.figures.sheet import PlacedPicture

COLOUR = (90, 140, 60)
IMAGE = Image.new("RGB", (40, 30), COLOUR)


def maps(count, height=30, width=40):
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(0))


def rows(count, texts=2):
    return {f"method {index}": maps(texts) for index in range(count)}


def test_comparisons_are_deterministic():
    drawn = [comparison(IMAGE, rows(5), ["a", "b"], notes=["none"]) for _ in range(2)]
    assert drawn[0].image().tobytes() == drawn[1].image().tobytes()


def test_the_figure_grows_with_rows_and_columns():
    one_row = comparison(IMAGE, rows(1), ["a", "b"])
    two_rows = comparison(IMAGE, rows(2), ["a", "b"])
    more_texts = comparison(IMAGE, rows(1, texts=4), list("abcd"))
    assert two_rows.height > one_row.height
    assert more_texts.width > one_row.width
    image_columns = np.flatnonzero((np.asarray(two_rows.image()) == COLOUR).all(-1).any(0))
    assert image_columns.min() == MARGIN


@pytest.mark.parametrize("texts", [1, 2, 5])
@pytest.mark.parametrize("count", [4, 9, 12, 16])
def test_many_rows_fit_a_screen(count, texts):
    drawn = comparison(IMAGE, rows(count, texts), [str(index) for index in range(texts)])
    assert 1 / 2 < drawn.width / drawn.height < 2.6


@pytest.mark.parametrize("texts", [1, 3, 7, 20])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_comparisons_fill_a_page_and_show_every_map(count, texts):
    names = [str(index) for index in range(texts)]
    drawn = comparison(IMAGE, rows(count, texts), names, page=PageFormat.of_print(180))
    assert drawn.width == pytest.approx(180 * UNITS_PER_MM)
    pictures = [part for part in drawn.elements if isinstance(part, PlacedPicture)]
    assert len(pictures) == 1 + count * texts + 1  # the image, the maps and the colour bar
    assert all(part.x + part.picture.size.width <= drawn.width for part in pictures)
    assert min(part.picture.size.width for part in pictures) >= 80
    if texts <= 3:
        assert drawn.height < 1.3 * drawn.width


def test_notes_are_below_the_figure():
    plain = comparison(IMAGE, rows(2), ["a", "b"])
    noted = comparison(IMAGE, rows(2), ["a", "b"], notes=["not drawn: rollout", "and gem"])
    assert noted.width == plain.width
    assert plain.height < noted.height < plain.height + 60


@pytest.mark.parametrize("size", [(400, 2), (2, 400), (1, 1), (3000, 2000)])
def test_images_of_any_shape(size):
    width, height = size
    heat = maps(1, height, width).expand(3, -1, -1)
    drawn = comparison(Image.new("RGB", size), {"one": heat, "two": heat}, list("abc"))
    assert drawn.height < 1400


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda: comparison(IMAGE, {}, ["a"]), "at least one row"),
        (lambda: comparison(IMAGE, {"x": maps(2)}, ["a"]), "as many titles"),
        (lambda: comparison(IMAGE, rows(1), ["a", "b"], tile=0), "tile to be at least 1 px"),
        (lambda: comparison(IMAGE, {"x": maps(1, 40, 30)}, ["a"]), r"size \(30, 40\)"),
    ],
)
def test_bad_comparisons(draw, reason):
    with pytest.raises(InputError, match=reason):
        draw()
