"""NUS-WIDE: the file of each concept, the list of images, and parts that do not match."""

import pickle

import numpy as np
import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.class_names import read_class_names
from clip_surgery.evaluation.datasets.dataset import NOT_JUDGED, Dataset
from clip_surgery.evaluation.datasets.files.listing import listed
from clip_surgery.evaluation.datasets.nus_wide import NusWide
from clip_surgery.evaluation.datasets.registry import open_dataset
from clip_surgery.testing import check_dataset
from tests.evaluation.datasets.small_trees import write_image, write_text

NAMES = read_class_names("nus_wide81").names
FILES = ("actor/0001_2124494179.jpg", "zebra/0004_1000000000.jpg", "zebra/0007_55.jpg")


def labels_path(root, name, part="Test"):
    return root / f"Groundtruth/TrainTestLabels/Labels_{name}_{part}.txt"


def make(root, present, part="Test", folder="Flickr"):
    """present: the concepts of each of FILES."""
    for number, file in enumerate(FILES):
        write_image(root / folder / file, (6, 8), seed=number)
    listing = "".join("{} \r\n".format(file.replace("/", "\\")) for file in FILES)
    write_text(root / f"ImageList/{part}Imagelist.txt", listing)
    for name in NAMES:
        write_text(labels_path(root, name, part), "".join(f"{name in s:d}\n" for s in present))


def test_concepts_without_masks(tmp_path):
    make(tmp_path, [{"person"}, {"zebra", "animal", "airport"}, set()])
    dataset = NusWide(tmp_path)
    assert isinstance(dataset, Dataset)
    assert repr(open_dataset("nus_wide", tmp_path)) == repr(dataset)
    check_dataset(dataset)
    assert (dataset.name, dataset.names, len(dataset)) == ("nus_wide", NAMES, 3)
    found = [sample.present for sample in dataset]
    assert found == [{"person"}, {"zebra", "animal", "airport"}, set()]
    assert dataset[0].mask.shape == (6, 8)
    assert (dataset[0].mask == NOT_JUDGED).all()
    with pytest.raises(IndexError):
        dataset[3]


def test_every_concept(tmp_path):
    assert len(NAMES) == 81
    for name in (NAMES[0], NAMES[7], NAMES[8], NAMES[79], NAMES[80]):
        make(tmp_path, [{name}, set(NAMES), set(NAMES) - {name}])
        found = [sample.present for sample in NusWide(tmp_path)]
        assert found == [{name}, set(NAMES), set(NAMES) - {name}]


def test_it_is_small_and_can_be_sent_and_does_not_say_where_it_is(tmp_path):
    make(tmp_path, [{"dog"}, set(), set()])
    dataset = NusWide(tmp_path)
    assert repr(dataset) == f"NusWide(split='test', images={listed(FILES)})"
    other = pickle.loads(pickle.dumps(dataset))
    assert other[0].present == {"dog"}
    np.testing.assert_array_equal(np.asarray(other[0].image), np.asarray(dataset[0].image))


def test_the_other_split_in_another_folder(tmp_path):
    make(tmp_path, [set()] * 3, part="Train", folder="images")
    assert len(NusWide(tmp_path, split="train", images="images")) == 3
    with pytest.raises(UnknownNameError, match="split 'val'"):
        NusWide(tmp_path, split="val")


def test_what_is_missing_is_listed(tmp_path):
    with pytest.raises(InputError, match=r"Flickr, ImageList/TestImagelist\.txt, .*NUS-WIDE"):
        NusWide(tmp_path)
    make(tmp_path, [set()] * 3)
    labels_path(tmp_path, "fox").unlink()
    with pytest.raises(InputError, match=r"incomplete\. Expected \S*Labels_fox_Test\.txt "):
        NusWide(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\n1\n", "each of 3 listed images, but got 2"),
        ("0\n1\n0\n0\n", "but got 4"),
        ("", "but got 0"),
        ("0\n-1\n0\n", "expected 0 and 1, but got '-'"),
        ("0\n2\n0\n", "but got '2'"),
    ],
)
def test_labels_that_do_not_belong_to_the_list(tmp_path, text, message):
    make(tmp_path, [set()] * 3)
    labels_path(tmp_path, "fox").write_text(text)
    with pytest.raises(InputError, match=rf"Labels_fox_Test\.txt: .*{message}"):
        NusWide(tmp_path)


def test_a_missing_or_damaged_image_is_an_error_when_it_is_read(tmp_path):
    make(tmp_path, [set()] * 3)
    (tmp_path / "Flickr" / FILES[0]).unlink()
    (tmp_path / "Flickr" / FILES[1]).write_bytes(b"<html>This photo is no longer available</html>")
    dataset = NusWide(tmp_path)
    with pytest.raises(InputError, match=r"0001_2124494179\.jpg: no such file"):
        dataset[0]
    with pytest.raises(InputError, match=r"0004_1000000000\.jpg: not an image"):
        dataset[1]
    assert dataset[2].image.size == (8, 6)
