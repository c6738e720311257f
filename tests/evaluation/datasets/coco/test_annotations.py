"""COCO's JSON: what is kept of it, and files that are not in COCO's format."""

import copy
import json
from pathlib import Path

import pytest

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.coco.annotations import (
    Instance,
    classes_by_name,
    read_annotated_images,
    read_content,
)
from tests.evaluation.datasets.small_coco import annotation, rectangle

HERE = Path("here.json")
CLASSES = {1: 0, 90: 1}
PARTS = {
    "images": [
        {"id": 9, "file_name": "b.jpg", "height": 6, "width": 8},
        {"id": 7, "file_name": "a.jpg", "height": 5, "width": 4},
    ],
    "annotations": [
        annotation(3, 9, 90, rectangle(0.25, 0, 2, 2)),
        annotation(2, 9, 1, {"size": [6, 8], "counts": [48]}, crowd=1),
        annotation(5, 9, 90, []),
    ],
    "categories": [],
}


def nested(depth):
    """Lists within lists, as a damaged or hostile file may have them."""
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_annotated_images_are_read():
    one, other = read_annotated_images(PARTS, CLASSES, HERE)
    assert (one.file_name, one.size_hw, one.present, one.instances()) == ("a.jpg", (5, 4), (), [])
    assert (other.file_name, other.size_hw, other.present) == ("b.jpg", (6, 8), (0, 1))
    assert other.instances() == [
        Instance(number=3, index=1, crowd=False, shape=rectangle(0.25, 0, 2, 2)),
        Instance(number=2, index=0, crowd=True, shape={"size": [6, 8], "counts": [48]}),
        Instance(number=5, index=1, crowd=False, shape=[]),
    ]


def test_without_shapes_only_what_is_present():
    _, other = read_annotated_images(PARTS, CLASSES, HERE, shapes=False)
    assert other.present == (0, 1)
    assert other.instances() == []


def test_the_kept_records_are_not_larger_than_the_file():
    text = json.dumps(PARTS["annotations"])
    assert sum(len(own.record) for own in read_annotated_images(PARTS, CLASSES, HERE)) < len(text)


def test_categories_may_have_any_ids_but_only_known_names():
    names = ("cat", "dog", "cow")
    found = classes_by_name([{"id": 90, "name": "cat"}, {"id": 4, "name": "cow"}], names, HERE)
    assert found == {90: 0, 4: 2}
    with pytest.raises(InputError, match=r"here.json: expected COCO's 3 categories, but got owl"):
        classes_by_name([{"id": 1, "name": "owl"}], names, HERE)
    for broken in ([{"id": 1}], [{"name": "cat"}], ["cat"], [None], [{"id": 1, "name": []}]):
        with pytest.raises(InputError, match=r"here\.json, categories\[0\]: "):
            classes_by_name(broken, names, HERE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts["annotations"][0].pop("category_id"), "the field 'category_id'"),
        (lambda parts: parts["annotations"][0].update(category_id=12), "12"),
        (lambda parts: parts["annotations"][0].update(image_id=8), "8"),
        (lambda parts: parts["annotations"][0].update(image_id=[]), "not as COCO writes"),
        (lambda parts: parts["annotations"][0].update(iscrowd="yes"), "not as COCO writes"),
        (lambda parts: parts["annotations"].append(3), "not as COCO writes"),
        (lambda parts: parts["images"][0].pop("id"), "'id'"),
        (lambda parts: parts["images"][0].pop("file_name"), "'file_name'"),
        (lambda parts: parts["images"][0].update(height=None), "not as COCO writes"),
        (lambda parts: parts["images"][0].update(height=1e999), "images.0.: not as COCO writes"),
        (lambda parts: parts["images"][0].update(height=0), "images.0.: expected height and"),
        (lambda parts: parts["images"][1].update(width=10**9), "images.1.: expected height and"),
        (lambda parts: parts["annotations"][1].update(iscrowd=1e999), "annotations.1.: not as"),
        (lambda parts: parts["annotations"][0].update(segmentation=nested(100_000)), "too deeply"),
        (lambda parts: parts.update(images=[], annotations=[]), "there is none"),
    ],
)
def test_a_wrong_entry_is_named(change, message):
    parts = copy.deepcopy(PARTS)
    change(parts)
    with pytest.raises(InputError, match=rf"^here\.json[:,] .*{message}"):
        read_annotated_images(parts, CLASSES, HERE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "damaged"),
        ('{"images": [', "damaged"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "lists images, annotations, categories"),
        ('{"images": [], "annotations": []}', "lists images"),
        ('{"images": [], "annotations": {}, "categories": []}', "lists images"),
    ],
)
def test_a_file_that_is_no_such_json(tmp_path, text, message):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(InputError, match=f"instances.json: .*{message}"):
        read_content(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_content(tmp_path)


def test_a_path_with_nul_is_refused():
    with pytest.raises(InputError, match=r"damaged|cannot be read"):
        read_content(Path("a\0b.json"))


def test_a_json_that_is_not_text_is_refused(tmp_path):
    path = tmp_path / "instances.json"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(InputError, match="damaged"):
        read_content(path)
