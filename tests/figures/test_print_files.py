from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.maps import figure
from clip_surgery.figures.page_format import PageFormat
from clip_surgery.figures.print_files import figure as matplotlib_figure
from clip_surgery.figures.print_files import save_print
from clip_surgery.figures.segments import segmentation_figure
from clip_surgery.figures.sheet import Picture, PlacedPicture, Sheet
from clip_surgery.figures.tags import tags_figure
from clip_surgery.framing import Size
from clip_surgery.tasks.tags import Tag

IMAGE = Image.new("RGB", (40, 30), (90, 140, 60))


def maps(count, height=30, width=40):
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(0))


def sheet(titles=("dog",), *, image=IMAGE, width_mm=60.0, **options):
    heat = maps(len(titles), image.height, image.width)
    return figure(image, heat, list(titles), page=PageFormat.of_print(width_mm), **options)


def pictures(drawn):
    return [part for part in drawn.elements if isinstance(part, PlacedPicture)]


def test_a_png_has_the_width_at_300_dpi(tmp_path):
    save_print(sheet(["dog", "cat"], width_mm=84.67), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.width == 1000
        assert round(drawn.info["dpi"][0]) == 300


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_files_are_deterministic_and_of_their_kind(tmp_path, kind):
    contents = []
    for name in ("a", "b"):
        save_print(sheet(notes=["score 0.2"], heading="h"), tmp_path / f"{name}.{kind}")
        contents.append((tmp_path / f"{name}.{kind}").read_bytes())
    assert contents[0] == contents[1]
    assert {"png": b"PNG", "pdf": b"%PDF", "svg": b"<svg"}[kind] in contents[0]


def test_a_narrow_sheet_has_fewer_columns():
    for width_mm, columns in ((60, 2), (180, 5)):
        drawn = pictures(sheet("abcd", width_mm=width_mm))
        assert len(drawn) == 6  # five images and the colour bar
        assert len({round(part.x) for part in drawn[:5]}) == columns


@pytest.mark.parametrize("width_mm", [30, 85, 180])
def test_figures_of_tags_and_segments_fit_the_page(width_mm):
    page = PageFormat.of_print(width_mm)
    classes = torch.arange(1200).view(30, 40) // 600
    tags = [Tag(text="dog", score=0.5), Tag(text="a dog on a bench " * 5, score=0.1)]
    drawn = [tags_figure(IMAGE, tags, page=page)]
    if width_mm > 30:
        drawn.append(segmentation_figure(IMAGE, classes, ["dog", "cat"], page=page))
    for one in drawn:
        assert one.width == pytest.approx(page.width)
        right_edges = [part.x + part.picture.size.width for part in pictures(one)]
        right_edges += [line.left + line.font.getlength(line.text) for line in one.texts()]
        assert max(right_edges) <= one.width + 1


def test_letters_are_letters_and_other_characters_are_images():
    plain = matplotlib_figure(sheet(["dog"]))
    assert len(plain.axes) == 3  # two images and the colour bar
    assert {text.get_text() for text in plain.texts} == {"image", "dog", "low", "high"}


@pytest.mark.parametrize(
    "title",
    ["$x$ and $", "a_b^{", "\x00\x1b[31m", "größe 猫 🐕", "", "--><x>", "كلب صغير", "कुत्ता"],
)
@pytest.mark.parametrize("kind", ["pdf", "svg", "png"])
def test_titles_are_drawn_as_they_are(tmp_path, kind, title):
    path = tmp_path / f"a.{kind}"
    save_print(sheet([title], heading=title), path)
    assert path.stat().st_size > 1000
    if kind == "svg":
        ElementTree.parse(path)


@pytest.mark.parametrize("size", [(1, 90), (400, 3), (1, 1)])
def test_images_of_any_shape(size):
    height = matplotlib_figure(sheet(image=Image.new("RGB", size))).get_figheight()
    assert np.isfinite(height)
    assert height < 6


@pytest.mark.parametrize("width", [5, float("nan")])
def test_too_narrow_a_page(width):
    with pytest.raises(InputError, match="at least 10 mm, but got"):
        PageFormat.of_print(width)


def test_later_elements_are_drawn_over_earlier_ones():
    """Coloured emoji are images; the box of a word must not hide them."""
    drawn = Sheet(20, 20)
    drawn.box((0, 0), (20, 20), (200, 200, 200))
    drawn.picture((5, 5), Picture(Size(10, 10), lambda size: Image.new("RGB", size[::-1], "red")))
    shown = matplotlib_figure(drawn)
    [axes] = shown.axes
    [box] = shown.artists
    assert axes.get_zorder() > box.get_zorder()


def test_the_text_form_of_a_figure_is_short():
    """Notebooks store it beside the image."""
    drawn = Sheet(40, 30)
    drawn.box((1, 1), (2, 2), (0, 0, 0))
    assert repr(drawn) == "Sheet(width=40, height=30)"
