"""Damaged or hostile files of data sets raise an InputError that names the file."""

import numpy as np
import pytest

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.files.listing import check_files, read_lines
from clip_surgery.evaluation.datasets.registry import DATASETS, open_dataset
from tests.evaluation.datasets.small_trees import (
    make_context,
    make_voc2007,
    make_voc2012,
    striped,
    write_image,
    write_palette,
)


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "scenes"])
@pytest.mark.parametrize("root", ["a\0b", "x" * 5_000])
def test_a_folder_whose_name_cannot_exist(name, root):
    with pytest.raises(InputError, match=r"no such folder|incomplete"):
        open_dataset(name, root)


def test_a_list_that_is_not_utf_8_names_the_line(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"one\ntwo\ncaf\xe9\n")
    with pytest.raises(InputError, match=r"list\.txt: .*line 3 has the byte 0xe9"):
        read_lines(path)


def test_names_that_are_not_utf_8(tmp_path):
    write_image(tmp_path / "images/a.jpg")
    write_palette(tmp_path / "masks/a.png", striped(1))
    (tmp_path / "names.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InputError, match=r"names\.txt: .*line 1 has the byte 0xe9"):
        open_dataset("folder", tmp_path)


@pytest.mark.parametrize("names", [5, [1, 2], [None], b"cat", {"cat"}])
def test_names_that_are_no_texts(tmp_path, names):
    write_image(tmp_path / "images/a.jpg")
    write_palette(tmp_path / "masks/a.png", striped(1))
    with pytest.raises(InputError, match="Expected names as a list of texts"):
        open_dataset("folder", tmp_path, names=names)


def test_a_list_with_nul_in_it(tmp_path):
    make_voc2012(tmp_path, {"2007_000033": striped(1, 255)})
    [listing] = tmp_path.rglob("ImageSets/Segmentation/val.txt")
    listing.write_text("2007_000033\nb\0d\x1b[31m\n")
    with pytest.raises(InputError, match=r"1 of 2 are missing \(b\\x00d\\x1b\[31m\.jpg\)"):
        open_dataset("voc20", tmp_path)


def test_a_list_of_tags_with_other_lines(tmp_path):
    make_voc2007(tmp_path, {"000001": {"dog": 1}})
    [listing] = tmp_path.rglob("ImageSets/Main/dog_test.txt")
    listing.write_text("000001 " + "9" * 100_000)
    with pytest.raises(InputError, match=r"dog_test\.txt, line 1: expected an image"):
        open_dataset("voc07", tmp_path)


def test_a_label_number_that_would_fill_the_memory(tmp_path):
    make_context(tmp_path, {"2008_000002": striped(59)})
    [base] = tmp_path.rglob("VOC2010")
    (base / "SegmentationClassContext").rename(base / "trainval")
    (base / "labels.txt").write_text("1: accordion\n99999999999999: aeroplane\n")
    with pytest.raises(InputError, match=r"labels\.txt, line 2: expected NUMBER: NAME"):
        open_dataset("context59", tmp_path)


def test_a_folder_that_may_not_be_listed(tmp_path, monkeypatch):
    def refused(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "iterdir", refused)
    with pytest.raises(InputError, match=r"cannot be listed \(Permission denied\)"):
        check_files([tmp_path / "a.jpg"], "x")


def test_an_image_with_damaged_orientation_keeps_its_mask(tmp_path, monkeypatch):
    from PIL import Image

    write_image(tmp_path / "images/a.jpg")
    write_palette(tmp_path / "masks/a.png", striped(1))
    (tmp_path / "names.txt").write_text("cat\n")

    def damaged(image):
        raise SyntaxError("not a TIFF file")

    monkeypatch.setattr(Image.Image, "getexif", damaged)
    assert np.unique(open_dataset("folder", tmp_path)[0].mask).tolist() == [-1, 0]
