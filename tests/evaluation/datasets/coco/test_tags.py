"""COCO for tags: present classes, crowds, and images without objects."""

import pickle

import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco import shapes as coco_shapes
from clip_surgery.evaluation.datasets.coco.tags import CocoTags
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.testing import check_dataset
from tests.evaluation.datasets.small_coco import SIZE, annotation, content, make_coco, rectangle

NAMES = read_class_names("coco80").names
PARTS = content(
    NAMES,
    [
        annotation(1, 9, 1, rectangle(0, 0, 4, 4)),
        annotation(2, 9, 1, rectangle(0, 0, 2, 2)),
        annotation(3, 9, 88, None, crowd=1),  # no shape is needed
    ],
)


def test_names_without_masks(tmp_path):
    make_coco(tmp_path, PARTS)
    dataset = CocoTags(tmp_path)
    assert isinstance(dataset, Dataset)
    assert repr(open_dataset("coco_tags", tmp_path)) == repr(dataset)
    check_dataset(dataset)
    assert (dataset.name, dataset.names, len(dataset)) == ("coco_tags", NAMES, 2)
    empty, full = dataset[0], dataset[1]
    assert empty.present == frozenset()
    assert full.present == {"person", "teddy bear"}
    assert full.mask.shape == SIZE
    assert (full.mask == NOT_JUDGED).all()


def test_images_without_objects_can_be_left_out(tmp_path):
    make_coco(tmp_path, PARTS)
    dataset = CocoTags(tmp_path, without_objects=False)
    assert len(dataset) == 1
    assert dataset[0].present
    make_coco(tmp_path, content(NAMES, []))
    assert len(CocoTags(tmp_path)) == 2
    with pytest.raises(InputError, match=r"instances_val2017\.json: expected objects"):
        CocoTags(tmp_path, without_objects=False)


def test_2014_and_the_repr(tmp_path):
    make_coco(tmp_path, PARTS, part="val2014", folder="images/val2014")
    dataset = CocoTags(tmp_path, year=2014)
    images = listed(["000000000007.jpg", "000000000009.jpg"])
    assert repr(dataset) == (
        f"CocoTags(annotations='instances_val2014.json', without_objects=True, images={images})"
    )
    assert pickle.loads(pickle.dumps(dataset))[1].present == dataset[1].present
    with pytest.raises(InputError, match="val2017"):
        CocoTags(tmp_path)
    with pytest.raises(UnknownNameError):
        CocoTags(tmp_path, split="validation")


def test_it_needs_no_pycocotools(tmp_path, monkeypatch):
    monkeypatch.setattr(coco_shapes, "find_spec", lambda name: None)
    make_coco(tmp_path, PARTS)
    assert CocoTags(tmp_path)[1].present


def test_a_damaged_image_is_an_error_when_it_is_read(tmp_path):
    make_coco(tmp_path, PARTS)
    dataset = CocoTags(tmp_path)
    (tmp_path / "val2017/000000000009.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"000000000009\.jpg: the file is empty"):
        dataset[1]
    assert dataset[0].image
