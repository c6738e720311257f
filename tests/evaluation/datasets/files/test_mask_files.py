"""Mask files: values of every kind of PNG, and errors for files that are not masks."""

import re

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.files.mask_files import (
    masked_sample,
    read_pixels,
    read_values,
)
from tests.evaluation.datasets.small_trees import write_palette

VALUES = np.array([[0, 1, 20], [255, 3, 0]])


def test_palette_and_grey_of_8_and_16_bits(tmp_path):
    write_palette(tmp_path / "palette.png", VALUES)
    Image.fromarray(VALUES.astype(np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray((VALUES + 1000).astype(np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(VALUES > 0).save(tmp_path / "bits.png")
    with Image.open(tmp_path / "palette.png") as image:
        assert image.mode == "P"
    for name, expected in (
        ("palette", VALUES),
        ("grey", VALUES),
        ("deep", VALUES + 1000),
        ("bits", (VALUES > 0).astype(int)),
    ):
        read = read_values(tmp_path / f"{name}.png")
        assert read.dtype == np.int64
        assert np.array_equal(read, expected), name


def test_colours_are_three_numbers_and_no_index(tmp_path):
    path = tmp_path / "colours.png"
    Image.new("RGB", (3, 2), (1, 2, 3)).save(path)
    assert read_pixels(path)[1, 2].tolist() == [1, 2, 3]
    with pytest.raises(InputError, match=r"colours\.png: expected .* palette or grey"):
        read_values(path)
    Image.new("RGBA", (3, 2)).save(path)
    with pytest.raises(InputError, match="not RGBA"):
        read_pixels(path)


@pytest.mark.parametrize("content", [b"", b"no image", None])
def test_a_file_that_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(path))) as caught:
        read_values(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_cut_file_is_named(tmp_path):
    path = tmp_path / "cut.png"
    noise = np.random.default_rng(0).integers(0, 20, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(InputError, match=r"cut\.png: cannot be read as a mask"):
        read_values(path)


def test_present_is_what_has_a_pixel():
    mask = np.array([[-1, 2], [-2, 0]])
    sample = masked_sample(Image.new("RGB", (2, 2)), mask, ("a", "b", "c"), "m.png")
    assert sample.present == {"a", "c"}
    with pytest.raises(InputError, match=r"m\.png: expected a mask of 3 x 2 px"):
        masked_sample(Image.new("RGB", (2, 3)), mask, ("a", "b", "c"), "m.png")
