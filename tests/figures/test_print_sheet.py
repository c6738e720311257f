import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.print_sheet import print_sheet, save_print

IMAGE = Image.new("RGB", (40, 30), (90, 140, 60))


def maps(count, height=30, width=40):
    return torch.rand(count, height, width, generator=torch.Generator().manual_seed(0))


def test_a_png_has_the_width_at_300_dpi(tmp_path):
    save_print(print_sheet(IMAGE, maps(2), ["dog", "cat"], width_mm=84.67), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as drawn:
        assert drawn.width == 1000
        assert round(drawn.info["dpi"][0]) == 300


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_files_are_deterministic_and_of_their_kind(tmp_path, kind):
    contents = []
    for name in ("a", "b"):
        sheet = print_sheet(IMAGE, maps(1), ["dog"], notes=["score 0.2"], heading="h", width_mm=60)
        save_print(sheet, tmp_path / f"{name}.{kind}")
        contents.append((tmp_path / f"{name}.{kind}").read_bytes())
    assert contents[0] == contents[1]
    assert {"png": b"PNG", "pdf": b"%PDF", "svg": b"<svg"}[kind] in contents[0]


def test_a_heading_and_notes_add_height():
    heights = [
        print_sheet(IMAGE, maps(1), ["dog"], width_mm=60, **options).get_figheight()
        for options in ({}, {"heading": "h"}, {"heading": "h", "notes": ["score 0.2"]})
    ]
    assert heights == sorted(set(heights))


def test_a_narrow_sheet_has_fewer_columns():
    narrow = print_sheet(IMAGE, maps(4), list("abcd"), width_mm=60)
    wide = print_sheet(IMAGE, maps(4), list("abcd"), width_mm=180)
    tiles = len(wide.axes)
    assert len(narrow.axes) == tiles == 6  # five images and the colour bar
    assert len({round(axes.get_position().x0, 3) for axes in wide.axes[:5]}) == 5
    assert len({round(axes.get_position().x0, 3) for axes in narrow.axes[:5]}) == 2


@pytest.mark.parametrize(
    "title", ["$x$ and $", "a_b^{", "\x00\x1b[31m", "größe 猫 🐕", "", "--><x>"]
)
@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_titles_are_drawn_as_they_are(tmp_path, kind, title):
    from xml.etree import ElementTree

    path = tmp_path / f"a.{kind}"
    save_print(print_sheet(IMAGE, maps(1), [title], heading=title, width_mm=60), path)
    assert path.stat().st_size > 1000
    if kind == "svg":
        ElementTree.parse(path)


@pytest.mark.parametrize("size", [(1, 90), (400, 3), (1, 1)])
def test_images_of_any_shape(size):
    sheet = print_sheet(Image.new("RGB", size), maps(1, size[1], size[0]), ["dog"], width_mm=60)
    assert np.isfinite(sheet.get_figheight())
    assert sheet.get_figheight() < 6


@pytest.mark.parametrize(
    ("draw", "reason"),
    [
        (lambda: print_sheet(IMAGE, maps(2), ["a"]), "as many titles"),
        (lambda: print_sheet(IMAGE, maps(1), ["a"], notes=[]), "as many notes"),
        (lambda: print_sheet(IMAGE, maps(1, 40, 30), ["a"]), r"image's size \(30, 40\)"),
        (lambda: print_sheet(IMAGE, maps(1), ["a"], width_mm=5), "at least 10 mm, but got 5 mm"),
        (lambda: print_sheet(IMAGE, maps(1), ["a"], width_mm=float("nan")), "at least 10 mm"),
    ],
)
def test_bad_sheets(draw, reason):
    with pytest.raises(InputError, match=reason):
        draw()
