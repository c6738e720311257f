"""A folder of your own images: masks, names and JSON, and possible mistakes in them."""

import json
import pickle
import warnings

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from clip_surgery.errors import InputError, MissingExtraError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.files.orientation import turned
from clip_surgery.evaluation.datasets.own.folder import FolderOfMasks, open_folder
from clip_surgery.evaluation.datasets.own.folder_of_instances import FolderOfInstances
from clip_surgery.records.mask_files import encode_rle, palette_image
from tests.evaluation.datasets.small_trees import (
    striped,
    write_image,
    write_palette,
    write_text,
)

NAMES = "# by hand\ncat: cat, kitten\ndog\n~ wall\n"


@pytest.fixture
def masks(tmp_path):
    for stem, mask in (("a", striped(1, 2, 255)), ("b", striped(0, 2))):
        write_image(tmp_path / "images" / f"{stem}.jpg")
        write_palette(tmp_path / "masks" / f"{stem}.png", mask)
    write_text(tmp_path / "names.txt", NAMES)
    return tmp_path


def test_masks(masks):
    dataset = open_folder(masks)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset), dataset.names) == ("folder", 2, ("cat", "dog"))
    assert dataset.classes.aliases == (("cat", "kitten"), ("dog",))
    assert dataset.classes.background == ("wall",)
    assert dataset[0].mask[0].tolist() == [0, 1, -2, -1, -1, -1, -1, -1]
    assert [dataset[index].present for index in (0, 1)] == [{"cat", "dog"}, {"dog"}]
    assert repr(dataset) == f"FolderOfMasks(classes=2, images={listed('ab')})"
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[0].mask, dataset[0].mask)


def test_names_given(masks):
    (masks / "names.txt").unlink()
    assert open_folder(masks, names="bird, cow").names == ("bird", "cow")
    assert open_folder(masks, names=["bird", "cow", "owl"])[0].present == {"bird", "cow"}
    with pytest.raises(InputError, match=r"Expected names\.txt \(a folder of images"):
        open_folder(masks)


def test_what_this_package_writes_is_read_back(masks):
    mask = striped(-1, 0, 1)
    palette_image(mask).save(masks / "masks/a.png")
    assert np.array_equal(open_folder(masks)[0].mask, mask)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "at least one"),
        ("cat,,dog", "none empty"),
        ([], "at least one"),
        (["cat", "cat"], "more than once"),
        (["background", "cat"], "0 is no object"),
        (["_background_", "cat"], "0 is no object"),
        ([f"class {number}" for number in range(255)], "at most 254"),
    ],
)
def test_wrong_names(masks, names, message):
    with pytest.raises(InputError, match=message):
        open_folder(masks, names=names)


@pytest.mark.parametrize("content", [b"", b"cat\ncat\n", b"\xff\xfe"])
def test_a_wrong_file_of_names_is_named(masks, content):
    (masks / "names.txt").write_bytes(content)
    with pytest.raises(InputError, match=r"names\.txt: "):
        open_folder(masks)


def test_masks_that_do_not_fit(masks):
    write_palette(masks / "masks/a.png", striped(3))
    write_palette(masks / "masks/b.png", striped(1, size_hw=(8, 6)))
    dataset = open_folder(masks)
    with pytest.raises(InputError, match=r"a\.png: .*2 classes of folder, but got 3\."):
        dataset[0]
    with pytest.raises(InputError, match=r"b\.png: expected a mask of 6 x 8 .* but got 8 x 6"):
        dataset[1]


def test_black_and_white_masks_of_one_class(masks):
    write_palette(masks / "masks/a.png", striped(255))
    write_palette(masks / "masks/b.png", striped(1, 255))
    dataset = open_folder(masks, names="cat")
    with pytest.raises(InputError, match=r"a\.png: 255 means not judged.*write 1"):
        dataset[0]
    assert dataset[1].mask[0, :3].tolist() == [0, -2, -1]


def test_missing_parts(masks, tmp_path):
    with pytest.raises(InputError, match=r"no such folder.*images, masks, names\.txt"):
        open_folder(tmp_path / "none")
    write_image(masks / "images/b.jpeg")
    with pytest.raises(InputError, match="several have the stem b"):
        open_folder(masks)
    (masks / "images/b.jpeg").rename(masks / "images/c.jpeg")
    with pytest.raises(InputError, match=r"masks: 1 of 3 are missing \(c\.png\)"):
        open_folder(masks)
    for path in (masks / "images").iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no image in this folder"):
        open_folder(masks)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_turn_as_images_are_turned(orientation):
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    image = Image.fromarray(values)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image)).astype(np.int64)
    ours = turned(values.astype(np.int64), orientation)
    if orientation >= 5:
        assert np.array_equal(ours, upright)
    else:
        assert np.array_equal(ours, values)


@pytest.mark.parametrize("stored", [True, False])
def test_a_photograph_on_its_side(masks, stored):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(masks / "images/a.jpg", exif=exif)
    mask = striped(2, 1)
    write_palette(masks / "masks/a.png", mask if stored else np.rot90(mask, -1))
    sample = open_folder(masks)[0]
    assert sample.image.size == (6, 8)
    assert sample.mask[:, 0].tolist() == [1, 0, -1, -1, -1, -1, -1, -1]


def square(left, top, right, bottom):
    return [[left, top, right, top, right, bottom, left, bottom]]


CROWD = {"size": [6, 8], "counts": [0, 12, 36]}  # the two columns on the left
INSTANCES = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "height": 6, "width": 8},
        {"id": 9, "file_name": "b.jpg", "height": 6, "width": 8},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}, {"id": 5, "name": "bus"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 18, "segmentation": square(2, 1, 4, 3)},
        {"id": 2, "image_id": 7, "category_id": 3, "segmentation": square(1, 0, 6, 6)},
        {"id": 3, "image_id": 7, "category_id": 5, "segmentation": CROWD, "iscrowd": 1},
    ],
}


@pytest.fixture
def instances(tmp_path):
    pytest.importorskip("pycocotools")
    for name in "ab":
        write_image(tmp_path / f"images/{name}.jpg")
    write_text(tmp_path / "instances.json", json.dumps(INSTANCES))
    return tmp_path


def test_instances(instances):
    dataset = open_folder(instances)
    assert isinstance(dataset, FolderOfInstances)
    assert isinstance(dataset, Dataset)
    assert (len(dataset), dataset.names) == (2, ("car", "bus", "dog"))
    expected = np.full((6, 8), -1)
    expected[:, :2] = -2  # the crowd
    expected[:, 1:6] = 0  # the car lies before it
    expected[1:3, 2:4] = 2  # the dog is smaller than the car
    assert dataset[0].mask.tolist() == expected.tolist()
    assert dataset[0].present == {"car", "bus", "dog"}
    assert (dataset[1].mask == -1).all()
    assert dataset[1].present == frozenset()
    images = listed(["a.jpg", "b.jpg"])
    assert repr(dataset) == (
        f"FolderOfInstances(annotations='instances.json', classes=3, images={images})"
    )
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[0].mask, dataset[0].mask)


def changed(**changes):
    """The JSON with other parts."""
    return json.dumps(INSTANCES | changes)


def annotation(**changes):
    return changed(annotations=[INSTANCES["annotations"][0] | changes])


@pytest.mark.parametrize(
    "segmentation", [{"size": [6, 8], "counts": [0, 12, 36]}, "compressed", square(0, 0, 2, 6)]
)
def test_every_form_of_a_shape(instances, segmentation):
    mask = striped(1, 1).astype(bool)
    shape = encode_rle(mask) if segmentation == "compressed" else segmentation
    write_text(instances / "instances.json", annotation(segmentation=shape))
    assert np.array_equal(open_folder(instances)[0].mask == 2, mask)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "damaged file"),
        ("[1]", "expected COCO's instances"),
        (changed(images=3), "expected COCO's instances"),
        (changed(images=[]), "expected images, but there is none"),
        (changed(images=[], annotations=[]), "there is none"),
        (changed(categories=[{"id": 1}]), "expected the field .name."),
        (changed(categories=[]), "categories, .* got none"),
        (changed(categories=[{"id": i, "name": "car"} for i in (1, 2)]), "'car' more than once"),
        (changed(categories=[{"id": 3, "name": "car"}]), "category_id 18 does not exist"),
        (annotation(image_id=8), "image_id 8 does not exist"),
        (annotation(category_id="dog"), "category_id 'dog' does not exist"),
    ],
)
def test_json_that_is_not_of_instances(instances, text, message):
    write_text(instances / "instances.json", text)
    with pytest.raises(InputError, match=rf"instances\.json[:,].*{message}"):
        open_folder(instances)


@pytest.mark.parametrize(
    "segmentation",
    [
        *("square", None, [["x"] * 6], {"counts": [0, 1]}),
        {"size": [2, 2], "counts": [0, 4]},
        {"size": [6, 8], "counts": [0, 12]},  # pycocotools would not mind
    ],
)
def test_an_invalid_shape_is_an_error_when_the_sample_is_read(instances, segmentation):
    write_text(instances / "instances.json", annotation(segmentation=segmentation))
    dataset = open_folder(instances)
    with pytest.raises(InputError, match=r"instances\.json: annotation 1: expected"):
        dataset[0]
    assert len(dataset[1].present) == 0


def test_the_size_in_the_json_is_the_images(instances):
    images = [INSTANCES["images"][0] | {"height": 7}]
    polygons = INSTANCES["annotations"][:2]
    write_text(instances / "instances.json", changed(images=images, annotations=polygons))
    with pytest.raises(
        InputError, match=r"json, a\.jpg: expected a mask of 6 x 8 px .* but got 7 x 8"
    ):
        open_folder(instances)[0]


def test_which_of_the_forms(instances):
    write_text(instances / "other.json", json.dumps(INSTANCES))
    with pytest.raises(InputError, match=r"one JSON, or `annotations`.*other\.json"):
        open_folder(instances)
    assert len(open_folder(instances, annotations="other.json")) == 2
    with pytest.raises(InputError, match=r"Expected none\.json"):
        open_folder(instances, annotations="none.json")
    with pytest.raises(InputError, match="The names are in the JSON"):
        open_folder(instances, annotations="other.json", names="car")
    (instances / "images/b.jpg").unlink()
    with pytest.raises(InputError, match=r"images of other\.json: 1 of 2 .*b\.jpg"):
        open_folder(instances, annotations="other.json")
    (instances / "masks").mkdir()
    with pytest.raises(InputError, match=r"Expected names\.txt"):
        open_folder(instances)


def test_masks_need_no_pycocotools(masks, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pycocotools", None)
    assert isinstance(open_folder(masks), FolderOfMasks)
    write_text(masks / "instances.json", json.dumps(INSTANCES))
    with pytest.raises(MissingExtraError, match=r"clip-surgery\[evaluation\]"):
        open_folder(masks, annotations="instances.json")


def decoded(coco, lengths):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pycocotools does not know numpy 2's `copy` yet
        return coco.decode(lengths).astype(bool)


def test_the_union_of_all_shapes_is_what_pycocotools_draws(instances):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    size_hw = (60, 80)
    write_image(instances / "images/a.jpg", size_hw)
    shapes = [[(rng.random(10) * 80).round(2).tolist()] for _ in range(5)]
    entries = [
        {"id": i, "image_id": 7, "category_id": INSTANCES["categories"][0]["id"], "iscrowd": 0}
        | {"segmentation": shape}
        for i, shape in enumerate(shapes)
    ]
    image = INSTANCES["images"][0] | {"height": size_hw[0], "width": size_hw[1]}
    write_text(instances / "instances.json", changed(images=[image], annotations=entries))
    [sample] = open_folder(instances)
    inside = np.zeros(size_hw, bool)
    for shape in shapes:
        inside |= decoded(coco, coco.merge(coco.frPyObjects(shape, *size_hw)))
    assert inside.any()
    assert np.array_equal(inside, sample.mask != -1)
