"""COCO objects: every id, crowds, damaged files, other folders, and random polygons."""

import pickle
import re

import numpy as np
import pytest
from PIL import ExifTags, Image
from pycocotools import mask as coco_mask

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco.objects import CocoObjects
from clip_surgery.evaluation.datasets.coco.shapes import draw
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED, Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.testing import check_dataset
from tests.evaluation.datasets.small_coco import (
    COCO_IDS,
    SIZE,
    annotation,
    content,
    make_coco,
    rectangle,
)

NAMES = read_class_names("coco80").names
ANNOTATIONS = [
    annotation(1, 9, 1, rectangle(0, 0, 4, 4)),  # person
    annotation(2, 9, 90, rectangle(1, 1, 3, 3)),  # toothbrush, in front
    annotation(3, 9, 18, rectangle(5, 0, 8, 6), crowd=1),  # dogs
    annotation(4, 9, 3, rectangle(1, 1, 3, 3)),  # car, hidden behind the next one
    annotation(5, 9, 17, rectangle(1, 1, 3, 3)),  # cat
]


@pytest.fixture
def parts():
    return content(NAMES, ANNOTATIONS)


def test_masks_and_names(tmp_path, parts):
    make_coco(tmp_path, parts)
    dataset = CocoObjects(tmp_path)
    assert isinstance(dataset, Dataset)
    assert repr(open_dataset("coco", tmp_path)) == repr(dataset)
    check_dataset(dataset)
    assert (dataset.name, dataset.names, len(dataset)) == ("coco", NAMES, 2)
    empty, full = dataset[0], dataset[-1]  # in the order of ids
    assert (empty.mask == NO_OBJECT).all()
    assert not empty.present
    expected = np.full(SIZE, NO_OBJECT)
    expected[0:4, 0:4] = NAMES.index("person")
    expected[1:3, 1:3] = NAMES.index("cat")
    expected[:, 5:] = NOT_JUDGED
    np.testing.assert_array_equal(full.mask, expected)
    assert full.present == {"person", "toothbrush", "dog", "car", "cat"}
    assert full.image.size == (SIZE[1], SIZE[0])
    with pytest.raises(IndexError):
        dataset[2]


def test_every_id(tmp_path):
    """Ids from the documentation of COCO, not by way of names."""
    assert len(COCO_IDS) == len(NAMES) == 80
    known = {1: "person", 11: "fire hydrant", 13: "stop sign", 25: "giraffe", 27: "backpack"}
    known |= {44: "bottle", 46: "wine glass", 65: "bed", 67: "dining table", 70: "toilet"}
    known |= {72: "tv", 82: "refrigerator", 84: "book", 90: "toothbrush"}
    row = [annotation(i, 9, own, rectangle(i, 0, i + 1, 1)) for i, own in enumerate(COCO_IDS)]
    make_coco(tmp_path, content(NAMES, row, size_hw=(1, 80)))
    mask = CocoObjects(tmp_path)[1].mask
    assert mask.tolist() == [[*range(80)]]
    assert all(NAMES[COCO_IDS.index(own)] == name for own, name in known.items())


def test_the_repr_says_what_it_is_but_not_where(tmp_path, parts):
    make_coco(tmp_path, parts)
    images = listed(["000000000007.jpg", "000000000009.jpg"])
    text = f"CocoObjects(annotations='instances_val2017.json', images={images})"
    assert repr(CocoObjects(tmp_path)) == text
    parts["images"][0] |= {"id": 8, "file_name": "000000000008.jpg"}
    parts["annotations"] = []
    make_coco(tmp_path, parts)
    assert repr(CocoObjects(tmp_path)) != text


def test_it_can_be_sent_to_another_process(tmp_path, parts):
    make_coco(tmp_path, parts)
    dataset = CocoObjects(tmp_path)
    other = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(other[1].mask, dataset[1].mask)
    assert other[1].present == dataset[1].present


def test_nothing_is_printed(tmp_path, parts, capfd):
    make_coco(tmp_path, parts)
    _ = CocoObjects(tmp_path)[1]
    assert capfd.readouterr() == ("", "")


def test_other_years_splits_and_folders(tmp_path, parts):
    make_coco(tmp_path, parts, part="val2014", folder="val2014")
    make_coco(tmp_path, parts, part="train2017", folder="images/train2017")
    assert "val2014" in repr(CocoObjects(tmp_path, year=2014))
    assert "train2017" in repr(CocoObjects(tmp_path, split="train"))
    given = CocoObjects(
        tmp_path, images="val2014", annotations="annotations/instances_val2014.json"
    )
    assert given[1].present
    with pytest.raises(UnknownNameError, match="'test'"):
        CocoObjects(tmp_path, split="test")
    with pytest.raises(UnknownNameError, match="'2016'"):
        CocoObjects(tmp_path, year=2016)


def test_what_is_missing_is_listed(tmp_path, parts):
    with pytest.raises(InputError) as caught:
        CocoObjects(tmp_path)
    for said in ("val2017", "annotations/instances_val2017.json", "cocodataset.org"):
        assert said in str(caught.value)
    with pytest.raises(InputError, match="no such folder"):
        CocoObjects(tmp_path / "nowhere")
    make_coco(tmp_path, parts)
    (tmp_path / "val2017/000000000007.jpg").unlink()
    with pytest.raises(InputError, match=r"1 of 2 are missing \(000000000007.jpg\)"):
        CocoObjects(tmp_path)


def test_another_json_of_instances(tmp_path, parts):
    parts["categories"][3]["name"] = "zeppelin"
    make_coco(tmp_path, parts)
    with pytest.raises(InputError, match=r"80 categories, but got zeppelin; .* folder"):
        CocoObjects(tmp_path)


def test_a_damaged_sample_is_an_error_when_it_is_read_and_not_before(tmp_path, parts):
    parts["annotations"] = [*ANNOTATIONS, annotation(6, 7, 1, [[1, 2, 3]])]
    make_coco(tmp_path, parts)
    dataset = CocoObjects(tmp_path)
    with pytest.raises(InputError, match=r"instances_val2017\.json: annotation 6: "):
        dataset[0]
    (tmp_path / "val2017/000000000009.jpg").write_bytes(b"\xff\xd8 no image")
    with pytest.raises(InputError, match=re.escape("000000000009.jpg: ")):
        dataset[1]


def test_a_image_of_another_size(tmp_path, parts):
    make_coco(tmp_path, parts)
    dataset = CocoObjects(tmp_path)
    make_coco(tmp_path, content(NAMES, [], size_hw=(8, 6)))
    with pytest.raises(InputError, match=r"json, 0+9\.jpg: expected a mask of 8 x 6 .* got 6 x 8"):
        dataset[1]


def test_a_photograph_that_lies_on_its_side(tmp_path, parts):
    """The JSON's height and width are those of the stored file."""
    make_coco(tmp_path, parts)
    upright = CocoObjects(tmp_path)[1]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    upright.image.save(tmp_path / "val2017/000000000009.jpg", exif=exif)
    turned = CocoObjects(tmp_path)[1]
    assert turned.image.size == SIZE
    np.testing.assert_array_equal(turned.mask, np.rot90(upright.mask, -1))


def outline(points):
    corners = np.reshape(points, (-1, 2))
    return np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1).sum()


def inside(points, size_hw):
    """Which pixel centres a polygon encloses (H, W): odd number of edges to their left."""
    corners = np.reshape(points, (-1, 2))
    after = np.roll(corners, -1, axis=0)
    mask = np.zeros(size_hw, bool)
    for row in range(size_hw[0]):
        y = row + 0.5
        cut = (corners[:, 1] <= y) != (after[:, 1] <= y)
        (x0, y0), (x1, y1) = corners[cut].T, after[cut].T
        edges = np.sort(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        mask[row] = np.searchsorted(edges, np.arange(size_hw[1]) + 0.5) % 2 == 1
    return mask


def star(seed):
    """A random polygon [x, y, ...] around a point, in pixels, and the size of its image."""
    rng = np.random.default_rng(seed)
    size_hw = rng.integers(40, 200, 2)
    angles = np.sort(rng.random(rng.integers(3, 40))) * 2 * np.pi
    radii = rng.uniform(0.2, 0.6, len(angles)) * size_hw.min()
    points = size_hw[::-1] / 2 + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    return points.clip(0, size_hw[::-1]).ravel().round(2).tolist(), tuple(size_hw.tolist())


@pytest.mark.parametrize("seed", range(40))
def test_polygons_have_the_area_that_pycocotools_says(seed):
    points, size_hw = star(seed)
    runs = coco_mask.merge(coco_mask.frPyObjects([points], *size_hw))
    assert draw([points], size_hw).sum() == coco_mask.area(runs)


@pytest.mark.parametrize("seed", range(40))
def test_polygons_against_counting_edges(seed):
    """Only pixels that the outline crosses may differ."""
    points, size_hw = star(seed)
    differ = (draw([points], size_hw) != inside(points, size_hw)).sum()
    assert differ <= 0.25 * outline(points)
