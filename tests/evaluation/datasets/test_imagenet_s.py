"""ImageNet-S 50: class numbers above 255, and incomplete folders."""

import pickle
import shutil

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.dataset import Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.imagenet_s import WORDNET_NUMBERS, ImageNetS
from tests.evaluation.datasets.small_trees import make_imagenet_s, striped, write_rgb_mask


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("imagenet_s")
    make_imagenet_s(root)
    return root


@pytest.fixture
def tree(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    return tmp_path


def mask_of(root, number):
    """The mask file of the class with this number, from 1."""
    folder = root / "ImageNetS50/validation-segmentation" / WORDNET_NUMBERS[number - 1]
    return next(folder.iterdir())


def test_every_class(made):
    dataset = ImageNetS(made)
    assert isinstance(dataset, Dataset)
    assert (dataset.name, len(dataset), len(dataset.names)) == ("imagenet_s50", 50, 50)
    for index in range(50):
        sample = dataset[index]
        assert sample.mask[0].tolist() == [index, -2, -1, -1, -1, -1, -1, -1]
        assert sample.present == {dataset.names[index]}
    assert dataset.names[0] == "goldfish"
    assert repr(dataset) == f"ImageNetS(split='validation', images={listed(dataset.listing)})"
    assert np.array_equal(pickle.loads(pickle.dumps(dataset))[7].mask, dataset[7].mask)
    assert len(ImageNetS(made / "ImageNetS50")) == 50


def test_the_number_is_red_and_green(tree):
    pixels = np.zeros((6, 8, 3), dtype=np.uint8)
    pixels[:, 0] = (1000 % 256, 1000 // 256, 0)
    pixels[:, 1] = (50, 0, 9)
    Image.fromarray(pixels).save(mask_of(tree, 1))
    assert ImageNetS(tree)[0].mask[0, :3].tolist() == [-2, 49, -1]


@pytest.mark.parametrize("value", [51, 919, 256])
def test_a_class_of_the_larger_sets_is_refused(tree, value):
    write_rgb_mask(mask_of(tree, 3), striped(3, value))
    with pytest.raises(InputError, match=rf"00000003\.png: .*50 classes.* but got {value}\."):
        ImageNetS(tree)[2]


def test_a_grey_mask_is_refused(tree):
    Image.fromarray(striped(3).astype(np.uint8)).save(mask_of(tree, 3))
    with pytest.raises(InputError, match=r"00000003\.png: expected an RGB mask"):
        ImageNetS(tree)[2]


@pytest.mark.parametrize("part", ["validation", "validation-segmentation"])
def test_a_missing_part_is_named_with_where_to_get_it(tree, part):
    shutil.rmtree(tree / "ImageNetS50" / part)
    with pytest.raises(InputError, match=rf"Expected {part} \(.*LUSSeg/ImageNet-S"):
        ImageNetS(tree)


def test_an_incomplete_folder(tree):
    base = tree / "ImageNetS50"
    mask_of(tree, 5).unlink()
    with pytest.raises(InputError, match=r"masks: 1 of 50 are missing \(ILSVRC2012_val_00000005"):
        ImageNetS(tree)
    next((base / "validation" / WORDNET_NUMBERS[8]).iterdir()).unlink()
    with pytest.raises(InputError, match=r"images: 1 of 49 are missing \(.*_00000009"):
        ImageNetS(tree)
    shutil.rmtree(base / "validation" / WORDNET_NUMBERS[1])
    with pytest.raises(
        InputError, match=r"validation: .*1 of 50 folders are missing \(n01491361\)"
    ):
        ImageNetS(tree)


def test_the_larger_sets_are_refused(tree):
    (tree / "ImageNetS50/validation-segmentation/n01440764").mkdir()
    with pytest.raises(InputError, match=r"1 more \(n01440764\).*300 and 919"):
        ImageNetS(tree)


def test_other_splits(tree):
    make_imagenet_s(tree, "train-semi")
    assert len(ImageNetS(tree, split="train-semi")) == 50
    with pytest.raises(UnknownNameError, match="split 'test'"):
        ImageNetS(tree, split="test")
