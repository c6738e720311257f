"""Pascal VOC 2012: every value of a mask, 20 and 21 classes, and incomplete folders."""

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.pascal.voc import VocSegmentation
from tests.evaluation.datasets.small_trees import (
    make_voc2012,
    striped,
    write_palette,
)

EVERY_VALUE = np.array([[*range(21), 255]] * 2)
MASKS = {
    "2007_000033": EVERY_VALUE,
    "2007_000042": striped(255, 15, 15),
    "2008_000001": striped(),
}


@pytest.fixture
def tree(tmp_path):
    make_voc2012(tmp_path, MASKS)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [-1, *range(20), -2]),
        ({"classes": 21}, [*range(21), -2]),
    ],
)
def test_every_value(tree, settings, expected):
    dataset = VocSegmentation(tree, **settings)
    sample = dataset[0]
    assert sample.mask.tolist() == [expected] * 2
    assert sample.present == set(dataset.names)
    assert sample.image.size == (22, 2)


def test_it_is_a_data_set(tree):
    dataset = VocSegmentation(tree)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset), len(dataset.names)) == ("voc20", 3, 20)
    assert dataset.names == dataset.classes.names
    assert dataset[1].present == {"person"}
    assert dataset[2].present == frozenset()
    assert VocSegmentation(tree, classes=21)[2].present == {"background"}
    assert dataset[-1].image.tobytes() == dataset[2].image.tobytes()
    with pytest.raises(IndexError):
        dataset[3]


def test_it_reads_what_torchvision_reads(tree):
    torchvision = pytest.importorskip("torchvision.datasets")
    theirs = torchvision.VOCSegmentation(str(tree), year="2012", image_set="val")
    ours = VocSegmentation(tree, classes=21)
    assert len(ours) == len(theirs)
    for index, (image, mask) in enumerate(theirs):
        sample = ours[index]
        assert sample.image.tobytes() == image.tobytes()
        values = np.asarray(mask).astype(np.int64)
        assert np.array_equal(np.where(sample.mask == -2, 255, sample.mask), values)


@pytest.mark.parametrize("inner", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_any_of_the_three_folders(tree, inner):
    assert len(VocSegmentation(tree / inner)) == 3
    assert len(VocSegmentation(str(tree / inner))) == 3


def test_it_goes_to_another_process(tree):
    dataset = VocSegmentation(tree, classes=21)
    other = pickle.loads(pickle.dumps(dataset))
    assert repr(other) == repr(dataset)
    assert np.array_equal(other[0].mask, dataset[0].mask)


def test_the_record_has_no_path(tree):
    assert (
        repr(VocSegmentation(tree))
        == f"VocSegmentation(classes=20, split='val', images={listed(MASKS)})"
    )


@pytest.mark.parametrize(
    "part", ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation/val.txt"]
)
def test_a_missing_part_is_named_with_where_to_get_it(tree, part):
    base = tree / "VOCdevkit" / "VOC2012"
    (base / part).rename(tree / "elsewhere")
    with pytest.raises(
        InputError, match=rf"Expected {re.escape(part)} \(.*VOCtrainval_11-May"
    ) as e:
        VocSegmentation(tree)
    assert "give the folder with VOCdevkit" in str(e.value)


def test_no_folder_and_another_folder(tmp_path):
    with pytest.raises(InputError, match=r"no such folder.*JPEGImages"):
        VocSegmentation(tmp_path / "none")
    with pytest.raises(InputError, match=r"incomplete.*JPEGImages, SegmentationClass"):
        VocSegmentation(tmp_path)


@pytest.mark.parametrize(
    ("file", "what"),
    [("JPEGImages/2007_000042.jpg", "images"), ("SegmentationClass/2007_000042.png", "masks")],
)
def test_an_incomplete_folder(tree, file, what):
    (tree / "VOCdevkit/VOC2012" / file).unlink()
    with pytest.raises(InputError, match=rf"{what}: 1 of 3 are missing \(2007_000042"):
        VocSegmentation(tree)


def test_damaged_files_are_errors_when_the_sample_is_read(tree):
    base = tree / "VOCdevkit" / "VOC2012"
    (base / "JPEGImages/2007_000033.jpg").write_bytes(b"\xff\xd8 no jpeg")
    (base / "SegmentationClass/2007_000042.png").write_bytes(b"no png")
    write_palette(base / "SegmentationClass/2008_000001.png", striped(3, size_hw=(5, 8)))
    dataset = VocSegmentation(tree)
    for index, message in ((0, r"000033\.jpg"), (1, r"000042\.png"), (2, r"000001\.png: .*6 x 8")):
        with pytest.raises(InputError, match=message):
            dataset[index]


@pytest.mark.parametrize("value", [21, 254])
def test_a_value_that_voc_does_not_use(tree, value):
    write_palette(tree / "VOCdevkit/VOC2012/SegmentationClass/2008_000001.png", striped(1, value))
    with pytest.raises(InputError, match=rf"2008_000001\.png: .* but got {value}\."):
        VocSegmentation(tree)[2]


def test_masks_in_colours(tree):
    path = tree / "VOCdevkit/VOC2012/SegmentationClass/2008_000001.png"
    Image.open(path).convert("RGB").save(path)
    with pytest.raises(InputError, match="a colour image"):
        VocSegmentation(tree)[2]


def test_wrong_settings(tree):
    with pytest.raises(UnknownNameError, match=r"Unknown split 'test'.*trainval"):
        VocSegmentation(tree, split="test")
    with pytest.raises(InputError, match="20 or 21 classes, but got 22"):
        VocSegmentation(tree, classes=22)
    with pytest.raises(InputError, match=r"trainval\.txt"):
        VocSegmentation(tree, split="trainval")
