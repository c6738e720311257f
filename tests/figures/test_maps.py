import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.maps import figure
from clip_surgery.figures.page_format import MARGIN

IMAGE = Image.new("RGB", (40, 30), (90, 140, 60))


def maps(count, height=30, width=40):
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(0))


def tiles_of(image, colour=(90, 140, 60)):
    """Columns in which the image is drawn without a map."""
    return np.flatnonzero((np.asarray(image.image()) == colour).all(-1).any(0))


def test_the_image_comes_first_with_its_ratio():
    drawn = figure(IMAGE, torch.ones(2, 30, 40), ["dog", "cat"], tile=300)
    columns = tiles_of(drawn)
    assert columns.min() == MARGIN
    width = columns.max() - columns.min() + 1
    height = (np.asarray(drawn.image()) == (90, 140, 60)).all(-1).any(1).sum()
    assert width / height == pytest.approx(40 / 30, rel=0.02)
    assert width * height == pytest.approx(300 * 300, rel=0.02)


def test_figures_are_deterministic():
    one = figure(IMAGE, maps(3), list("abc"), notes=["1", "2", "3"], heading="here")
    other = figure(IMAGE, maps(3), list("abc"), notes=["1", "2", "3"], heading="here")
    assert one.image().tobytes() == other.image().tobytes()


def test_notes_and_long_titles_add_height_above_the_tiles():
    plain = figure(IMAGE, maps(1), ["dog"])
    noted = figure(IMAGE, maps(1), ["dog"], notes=["score 0.2"])
    long = figure(IMAGE, maps(1), ["dog " * 40])
    assert plain.height < noted.height
    assert plain.height < long.height < plain.height + 40
    assert plain.width == long.width


def test_many_texts_wrap_into_rows():
    assert figure(IMAGE, maps(4), list("abcd")).width > figure(IMAGE, maps(6), "abcdef").width
    one_column = figure(IMAGE, maps(2), ["a", "b"], columns=1)
    assert one_column.height > 3 * 250


@pytest.mark.parametrize("size", [(400, 2), (2, 400), (1, 1), (3000, 2000)])
def test_images_of_any_shape(size):
    width, height = size
    image = Image.new("RGB", size)
    heat = maps(1, height, width).expand(3, -1, -1)
    drawn = figure(image, heat, ["dog", "größe 猫 кошка 🐕", ""])
    assert drawn.width < 2200


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda: figure(IMAGE, maps(2), ["a"]), "as many titles"),
        (lambda: figure(IMAGE, maps(1), ["a"], notes=[]), "as many notes"),
        (lambda: figure(IMAGE, maps(1)[0], ["a"]), "shape \\(C, H, W\\)"),
        (lambda: figure(IMAGE, maps(1, 40, 30), ["a"]), r"image's size \(30, 40\)"),
        (lambda: figure(IMAGE, maps(1) + 1, ["a"]), "within 0 to 1"),
        (lambda: figure(IMAGE, maps(1), ["a"], tile=0), "tile to be at least 1 px"),
        (lambda: figure(IMAGE, maps(1), ["a"], columns=0), "at least 1 column"),
    ],
)
def test_bad_figures(draw, reason):
    with pytest.raises(InputError, match=reason):
        draw()
