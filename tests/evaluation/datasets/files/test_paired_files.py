"""Data sets of two folders (ADE20K, COCO-Stuff, Cityscapes): every id, and gaps."""

import pickle
import re

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.ade20k import Ade20k
from clip_surgery.evaluation.datasets.cityscapes import LABEL_IDS, Cityscapes
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.coco.stuff import IDS, CocoStuff
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.registry import open_dataset
from tests.evaluation.datasets.small_trees import write_image


def write_mask(path, values, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, dtype=np.uint8)).convert(mode).save(path)


class Tree:
    """Where a data set has its files: stem to path of the image and of the mask."""

    def __init__(self, root, loader, name, image, mask, stems):
        self.root, self.loader, self.name, self.stems = root, loader, name, stems
        self.image = lambda stem: root / image.format(stem)
        self.mask = lambda stem: root / mask.format(stem)

    def make(self, *masks):
        for number, (stem, values) in enumerate(zip(self.stems, masks, strict=False)):
            write_image(self.image(stem), np.shape(values), seed=number)
            write_mask(self.mask(stem), values)
        return self.loader(self.root)


TREES = {
    "ade20k": (
        Ade20k,
        "images/validation/{}.jpg",
        "annotations/validation/{}.png",
        ("ADE_val_00000001", "ADE_val_00000002"),
    ),
    "coco_stuff": (
        CocoStuff,
        "val2017/{}.jpg",
        "stuffthingmaps_trainval2017/val2017/{}.png",
        ("000000000139", "000000000285"),
    ),
    "cityscapes": (
        Cityscapes,
        "leftImg8bit/val/{}_leftImg8bit.png",
        "gtFine/val/{}_gtFine_labelIds.png",
        ("frankfurt/frankfurt_000000_000294", "munster/munster_000000_000019"),
    ),
}


@pytest.fixture(params=TREES)
def tree(request, tmp_path):
    loader, image, mask, stems = TREES[request.param]
    return Tree(tmp_path, loader, request.param, image, mask, stems)


def tree_of(name, root):
    loader, image, mask, stems = TREES[name]
    return Tree(root, loader, name, image, mask, stems)


ONE = [[7, 7, 8], [8, 13, 13]]  # values that all three have


def test_it_is_a_data_set(tree):
    dataset = tree.make(ONE, [[7]])
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset)) == (tree.name, 2)
    assert dataset.names == dataset.classes.names
    assert dataset[0].mask.shape == (2, 3)
    assert dataset[0].image.size == (3, 2)
    assert dataset[-1].mask.shape == (1, 1)
    assert len(dataset[0].present) == 3
    assert repr(dataset) == (f"{tree.loader.__name__}(split='val', images={listed(tree.stems)})")
    other = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(other[0].mask, dataset[0].mask)
    assert repr(open_dataset(tree.name, tree.root)) == repr(dataset)
    with pytest.raises(IndexError):
        dataset[2]


def test_palette_masks_are_read_as_numbers(tree):
    grey = tree.make(ONE)[0].mask
    image = Image.fromarray(np.asarray(ONE, dtype=np.uint8))
    image.putpalette(bytes(range(255, -1, -1)) * 3)
    image.save(tree.mask(tree.stems[0]))
    np.testing.assert_array_equal(tree.loader(tree.root)[0].mask, grey)


def test_a_missing_part_is_listed_with_where_to_get_it(tree):
    with pytest.raises(InputError, match=r"Expected .*http") as caught:
        tree.loader(tree.root)
    for path in (tree.image(tree.stems[0]), tree.mask(tree.stems[0])):
        part = path.relative_to(tree.root).parent.as_posix().partition("/frankfurt")[0]
        assert part in str(caught.value)
    with pytest.raises(InputError, match="no such folder"):
        tree.loader(tree.root / "nowhere")
    with pytest.raises(UnknownNameError, match="split 'test'"):
        tree.loader(tree.root, split="test")


def test_an_incomplete_folder(tree):
    tree.make(ONE, ONE)
    first, second = tree.stems
    tree.image(first).unlink()
    with pytest.raises(InputError, match=r"images: 1 of 2 are missing"):
        tree.loader(tree.root)
    tree.make(ONE, ONE)
    tree.mask(second).unlink()
    with pytest.raises(InputError, match=r"masks: 1 of 2 are missing"):
        tree.loader(tree.root)
    tree.mask(first).unlink()
    with pytest.raises(InputError, match="expected masks of"):
        tree.loader(tree.root)


def test_side_files_of_other_systems_are_not_read(tree):
    tree.make(ONE)
    for path in (tree.image(tree.stems[0]), tree.mask(tree.stems[0])):
        (path.parent / f"._{path.name}").write_bytes(b"side file")
    assert len(tree.loader(tree.root)) == 1


def test_a_damaged_file_is_an_error_when_it_is_read_and_not_before(tree):
    tree.make(ONE, ONE)
    first, second = tree.stems
    tree.image(first).write_bytes(b"no image")
    tree.mask(second).write_bytes(b"no mask")
    dataset = tree.loader(tree.root)
    with pytest.raises(InputError, match=re.escape(tree.image(first).name)):
        dataset[0]
    with pytest.raises(InputError, match=re.escape(tree.mask(second).name)):
        dataset[1]


def test_a_mask_of_another_size_or_in_colours(tree):
    tree.make(ONE, ONE)
    first, second = tree.stems
    write_mask(tree.mask(first), np.transpose(ONE))
    write_mask(tree.mask(second), ONE, "RGB")
    dataset = tree.loader(tree.root)
    with pytest.raises(InputError, match=rf"{tree.mask(first).name}: expected .* 2 x 3 .* 3 x 2"):
        dataset[0]
    with pytest.raises(InputError, match=f"{tree.mask(second).name}: .* a colour image"):
        dataset[1]


def test_a_value_that_is_no_class(tree):
    tree.make([[7, 222]])
    with pytest.raises(InputError, match="but got 222"):
        tree.loader(tree.root)[0]


def every_value(name, root, values):
    """The index of each value, read from a mask that holds them in a row."""
    sample = tree_of(name, root).make([values])[0]
    return dict(zip(values, sample.mask[0].tolist(), strict=True)), sample.present


def test_every_id_of_ade20k(tmp_path):
    index, present = every_value("ade20k", tmp_path, range(151))
    assert index.pop(0) == NOT_JUDGED
    assert index == {value: value - 1 for value in range(1, 151)}
    names = read_class_names("ade150").names
    assert present == set(names)
    # objectInfo150.txt
    known = {1: "wall", 13: "person", 40: "cushion", 59: "screen door", 75: "computer"}
    known |= {90: "television", 116: "bag", 131: "screen", 142: "crt screen", 150: "flag"}
    assert {value: names[value - 1] for value in known} == known


def test_ade20k_from_the_folder_it_is_unpacked_in(tmp_path):
    tree_of("ade20k", tmp_path / "ADEChallengeData2016").make(ONE)
    assert len(Ade20k(tmp_path)) == 1
    assert len(Ade20k(tmp_path / "ADEChallengeData2016")) == 1


def test_every_id_of_coco_stuff(tmp_path):
    index, _ = every_value("coco_stuff", tmp_path, [*(own - 1 for own in IDS), 255])
    assert index.pop(255) == NOT_JUDGED
    assert list(index.values()) == [*range(171)]
    names = read_class_names("coco_stuff171").names
    # labels.txt, whose ids are one above the numbers in the maps
    known = {1: "person", 13: "stop sign", 27: "backpack", 31: "handbag", 46: "wine glass"}
    known |= {67: "dining table", 70: "toilet", 72: "tv", 84: "book", 90: "toothbrush"}
    known |= {92: "banner", 112: "door-stuff", 142: "plant-other", 157: "sky-other"}
    known |= {169: "tree", 178: "water-other", 182: "wood"}
    assert {number: names[index[number - 1]] for number in known} == known


@pytest.mark.parametrize("value", [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90, 182, 254])
def test_gaps_of_coco_stuff_are_refused(tmp_path, value):
    dataset = tree_of("coco_stuff", tmp_path).make([[0, value]])
    with pytest.raises(InputError, match=f"but got {value}"):
        dataset[0]


def test_things_of_coco_stuff_are_those_of_coco():
    stuff, objects = read_class_names("coco_stuff171"), read_class_names("coco80")
    assert stuff.names[:80] == objects.names


def test_coco_stuff_as_its_readme_unpacks_it(tmp_path):
    write_image(tmp_path / "images/val2017/000000000139.jpg", (2, 3))
    write_mask(tmp_path / "annotations/val2017/000000000139.png", ONE)
    write_mask(tmp_path / "annotations/val2017/000000000139_labelTrainIds.png", ONE)
    assert len(CocoStuff(tmp_path)) == 1


def test_every_id_of_cityscapes(tmp_path):
    """Held against torchvision's table."""
    labels = pytest.importorskip("torchvision").datasets.Cityscapes.classes
    index, present = every_value("cityscapes", tmp_path, [*range(34), 255])
    assert index[255] == NOT_JUDGED
    names = read_class_names("cityscapes19").names
    for label in labels:
        if label.id < 0 or label.train_id == 255:
            assert index[label.id % 256] == NOT_JUDGED
        else:
            assert index[label.id] == label.train_id
            assert names[label.train_id] == label.name
    assert len(LABEL_IDS) == len(present) == 19


def test_cityscapes_like_torchvision(tmp_path):
    datasets = pytest.importorskip("torchvision").datasets
    tree = tree_of("cityscapes", tmp_path)
    ours = tree.make(ONE, [[24, 26]])
    theirs = datasets.Cityscapes(tmp_path, split="val", mode="fine", target_type="semantic")
    found = {path: place for place, path in enumerate(theirs.images)}
    for place, stem in enumerate(ours.listing):
        image, labels = theirs[found[str(tree.image(stem))]]
        assert image.tobytes() == ours[place].image.tobytes()
        expected = [[LABEL_IDS.index(value) for value in row] for row in np.asarray(labels)]
        np.testing.assert_array_equal(ours[place].mask, expected)
