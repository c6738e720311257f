"""Pascal Context: PNG files of the converter, the original .mat files, and damaged files."""

import pickle

import numpy as np
import pytest
from scipy.io import savemat

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.pascal.context import PascalContext
from tests.evaluation.datasets.small_trees import (
    make_context,
    striped,
    write_palette,
    write_text,
)

MASKS = {"2008_000002": np.array([[*range(60)]] * 2), "2008_000003": striped(59, 1)}
NAMES = read_class_names("context59").names


@pytest.fixture
def tree(tmp_path):
    make_context(tmp_path, MASKS)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [-1, *range(59)]),
        ({"classes": 60}, [*range(60)]),
    ],
)
def test_every_value(tree, settings, expected):
    dataset = PascalContext(tree, **settings)
    assert dataset[0].mask.tolist() == [expected] * 2
    assert dataset[0].present == set(dataset.names)


def test_it_is_a_data_set(tree):
    dataset = PascalContext(tree)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset), dataset.names) == ("context59", 2, NAMES)
    assert PascalContext(tree, classes=60).name == "context60"
    assert dataset[1].present == {"aeroplane", "wood"}
    assert repr(dataset) == f"PascalContext(classes=59, split='val', images={listed(MASKS)})"
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[0].mask, dataset[0].mask)
    assert len(PascalContext(tree / "VOCdevkit")) == len(PascalContext(tree / "VOCdevkit/VOC2010"))


def test_masks_counted_from_the_first_class_are_refused(tree):
    """Some converters write 0..58 and 255: read so, every class would be its neighbour."""
    path = tree / "VOCdevkit/VOC2010/SegmentationClassContext/2008_000003.png"
    write_palette(path, striped(255, 58))
    with pytest.raises(InputError, match=r"2008_000003\.png: .*59 classes.* but got 255"):
        PascalContext(tree)[1]


@pytest.mark.parametrize(
    "part",
    ["JPEGImages", "SegmentationClassContext", "ImageSets/SegmentationContext/val.txt"],
)
def test_a_missing_part_is_named_with_where_to_get_it(tree, part):
    (tree / "VOCdevkit/VOC2010" / part).rename(tree / "elsewhere")
    with pytest.raises(InputError, match=rf"Expected {part} \(Pascal Context: .*detail API"):
        PascalContext(tree)


def test_an_incomplete_folder_and_wrong_settings(tree):
    with pytest.raises(UnknownNameError, match="split 'test'"):
        PascalContext(tree, split="test")
    with pytest.raises(InputError, match="59 or 60"):
        PascalContext(tree, classes=33)
    (tree / "VOCdevkit/VOC2010/JPEGImages/2008_000003.jpg").unlink()
    with pytest.raises(InputError, match="images: 1 of 2 are missing"):
        PascalContext(tree)


# The numbers of labels.txt are in the order of 459 names; the classes lie scattered among them.
OTHERS = [f"other{number}" for number in range(400)]
LABELS = sorted([*NAMES, *OTHERS])


@pytest.fixture
def original(tmp_path):
    base = make_context(tmp_path, {stem: striped() for stem in MASKS})
    for path in (base / "SegmentationClassContext").iterdir():
        path.unlink()
    (base / "SegmentationClassContext").rmdir()
    write_text(base / "labels.txt", "".join(f"{i}: {name}\n" for i, name in enumerate(LABELS, 1)))
    own = [LABELS.index(name) + 1 for name in ("sky", "aeroplane", OTHERS[7])]
    (base / "trainval").mkdir()
    for stem in MASKS:
        labels = striped(*own, 459, 3000).astype(np.uint16)
        savemat(base / "trainval" / f"{stem}.mat", {"LabelMap": labels})
    return tmp_path


def test_original_labels(original):
    dataset = PascalContext(original)
    row = [NAMES.index("sky"), NAMES.index("aeroplane"), -1, 58, -1, -1, -1, -1]
    assert LABELS[458] == "wood"
    assert dataset[0].mask.tolist() == [row] * 6
    assert dataset[0].present == {"sky", "aeroplane", "wood"}
    assert PascalContext(original, classes=60)[0].mask[0, :3].tolist() == [
        NAMES.index("sky") + 1,
        NAMES.index("aeroplane") + 1,
        0,
    ]
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[1].mask, dataset[1].mask)


@pytest.mark.parametrize("content", [{"Labels": np.ones((6, 8))}, {"LabelMap": np.ones((6, 8, 2))}])
def test_a_mat_file_without_labels(original, content):
    path = original / "VOCdevkit/VOC2010/trainval/2008_000002.mat"
    savemat(path, content)
    dataset = PascalContext(original)
    with pytest.raises(InputError, match=r"2008_000002\.mat: .*LabelMap"):
        dataset[0]
    path.write_bytes(b"no mat file")
    with pytest.raises(InputError, match=r"2008_000002\.mat: not a \.mat file"):
        dataset[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("1: aeroplane\n2: bag\n", "bed, bedclothes"), ("aeroplane\n", "line 1: expected NUMBER")],
)
def test_labels_that_lack_classes(original, text, message):
    write_text(original / "VOCdevkit/VOC2010/labels.txt", text)
    with pytest.raises(InputError, match=rf"labels\.txt.*{message}"):
        PascalContext(original)
