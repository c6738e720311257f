"""Pascal VOC: every value of a mask, 20 and 21 classes, tags, and folders that lack a part."""

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.mask_files import listed
from clip_surgery.evaluation.datasets.voc import VocSegmentation, VocTags
from tests.evaluation.datasets.small_trees import (
    make_voc2007,
    make_voc2012,
    striped,
    write_palette,
    write_text,
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
        == f"VocSegmentation(classes=20, split='val', pictures={listed(MASKS)})"
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
    [("JPEGImages/2007_000042.jpg", "pictures"), ("SegmentationClass/2007_000042.png", "masks")],
)
def test_half_unpacked(tree, file, what):
    (tree / "VOCdevkit/VOC2012" / file).unlink()
    with pytest.raises(InputError, match=rf"{what}: 1 of 3 are missing \(2007_000042"):
        VocSegmentation(tree)


def test_broken_files_are_told_when_asked_for(tree):
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
    with pytest.raises(InputError, match="in colours"):
        VocSegmentation(tree)[2]


def test_wrong_settings(tree):
    with pytest.raises(UnknownNameError, match=r"Unknown split 'test'.*trainval"):
        VocSegmentation(tree, split="test")
    with pytest.raises(InputError, match="20 or 21 classes, but got 22"):
        VocSegmentation(tree, classes=22)
    with pytest.raises(InputError, match=r"trainval\.txt"):
        VocSegmentation(tree, split="trainval")


FLAGS = {"000001": {"dog": 1, "person": 0}, "000002": {"train": 1}, "000004": {}}


@pytest.fixture
def tags(tmp_path):
    make_voc2007(tmp_path, FLAGS)
    return tmp_path


def test_tags(tags):
    dataset = VocTags(tags)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset), len(dataset.names)) == ("voc07", 3, 20)
    assert [dataset[index].present for index in range(3)] == [{"dog", "person"}, {"train"}, set()]
    assert (dataset[0].mask == -2).all()
    assert dataset[0].mask.shape == (6, 8)
    assert VocTags(tags, difficult="absent")[0].present == {"dog"}
    assert repr(dataset) == (
        f"VocTags(split='test', difficult='present', pictures={listed(FLAGS)})"
    )
    assert pickle.loads(pickle.dumps(dataset))[1].present == {"train"}


def test_lists_that_lack_a_class_or_a_picture(tags):
    lists = tags / "VOCdevkit/VOC2007/ImageSets/Main"
    write_text(lists / "cow_test.txt", "000001 -1\n")
    with pytest.raises(InputError, match=r"cow_test\.txt: expected the same 3 pictures.*lists 1"):
        VocTags(tags)
    (lists / "cow_test.txt").unlink()
    with pytest.raises(InputError, match=r"Expected ImageSets/Main/cow_test\.txt \(.*VOCtest_06"):
        VocTags(tags)


@pytest.mark.parametrize("line", ["000001", "000001 2", "000001 yes"])
def test_a_damaged_list(tags, line):
    path = tags / "VOCdevkit/VOC2007/ImageSets/Main/aeroplane_test.txt"
    write_text(path, f"000002 -1\n{line}\n")
    with pytest.raises(InputError, match=r"aeroplane_test\.txt, line 2: .*-1, 0 or 1"):
        VocTags(tags)


def test_tags_half_unpacked_and_broken(tags):
    pictures = tags / "VOCdevkit/VOC2007/JPEGImages"
    (pictures / "000001.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"000001\.jpg: the file is empty"):
        VocTags(tags)[0]
    (pictures / "000002.jpg").unlink()
    with pytest.raises(InputError, match="1 of 3 are missing"):
        VocTags(tags)


def test_tags_settings(tags):
    with pytest.raises(UnknownNameError, match="difficult 'maybe'"):
        VocTags(tags, difficult="maybe")
    with pytest.raises(UnknownNameError, match="split 'all'"):
        VocTags(tags, split="all")
