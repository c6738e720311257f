"""Pascal VOC 2007 for tags: present, absent and difficult classes, and damaged lists."""

import pickle

import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.pascal.voc_tags import VocTags
from tests.evaluation.datasets.small_trees import make_voc2007, write_text

FLAGS = {"000001": {"dog": 1, "person": 0}, "000002": {"train": 1}, "000004": {}}


@pytest.fixture
def tags(tmp_path):
    make_voc2007(tmp_path, FLAGS)
    return tmp_path


def test_tags(tags):
    dataset = VocTags(tags)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset), len(dataset.names)) == ("voc07", 3, 20)
    assert [dataset[index].present for index in range(3)] == [{"dog"}, {"train"}, set()]
    assert [dataset[index].unsure for index in range(3)] == [{"person"}, set(), set()]
    assert (dataset[0].mask == -2).all()
    assert dataset[0].mask.shape == (6, 8)
    assert repr(dataset) == f"VocTags(split='test', difficult='unsure', images={listed(FLAGS)})"
    assert pickle.loads(pickle.dumps(dataset))[1].present == {"train"}


@pytest.mark.parametrize(
    ("difficult", "present"), [("present", {"dog", "person"}), ("absent", {"dog"})]
)
def test_difficult_classes_can_count(tags, difficult, present):
    dataset = VocTags(tags, difficult=difficult)
    assert (dataset[0].present, dataset[0].unsure) == (present, frozenset())
    assert f"difficult={difficult!r}" in repr(dataset)


def test_every_class_has_its_own_list(tmp_path):
    names = read_class_names("voc20").names
    make_voc2007(tmp_path, {f"{place:06d}": {name: 1} for place, name in enumerate(names)})
    assert [sample.present for sample in VocTags(tmp_path)] == [{name} for name in names]


def test_lists_that_lack_a_class_or_a_image(tags):
    lists = tags / "VOCdevkit/VOC2007/ImageSets/Main"
    write_text(lists / "cow_test.txt", "000001 -1\n")
    with pytest.raises(InputError, match=r"cow_test\.txt: expected the same 3 images.*lists 1"):
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


def test_tags_of_an_incomplete_folder_and_damaged_files(tags):
    image_folder = tags / "VOCdevkit/VOC2007/JPEGImages"
    (image_folder / "000001.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"000001\.jpg: the file is empty"):
        VocTags(tags)[0]
    (image_folder / "000002.jpg").unlink()
    with pytest.raises(InputError, match="1 of 3 are missing"):
        VocTags(tags)


def test_tags_settings(tags):
    with pytest.raises(UnknownNameError, match="difficult 'maybe'"):
        VocTags(tags, difficult="maybe")
    with pytest.raises(UnknownNameError, match="split 'all'"):
        VocTags(tags, split="all")
