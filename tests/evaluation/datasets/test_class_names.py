"""Class names: the lists of the package, and the format of their files."""

from hashlib import sha256
from importlib.resources import files

import pytest

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.evaluation.datasets.class_names import (
    ClassNames,
    parse_class_names,
    read_class_names,
)
from clip_surgery.evaluation.datasets.imagenet_s import WORDNET_NUMBERS

COUNTS = {"voc20": 20, "voc21": 21, "context59": 59, "context60": 60, "imagenet_s50": 50}
LISTS = sorted(
    entry.name.removesuffix(".txt")
    for entry in (files("clip_surgery.evaluation.datasets") / "names").iterdir()
)


@pytest.mark.parametrize("name", LISTS)
def test_every_list_parses_and_says_its_source(name):
    classes = read_class_names(name)
    assert len(classes.source) > 40
    assert len(classes) == len(set(classes.names)) == len(classes.aliases)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_counts(name, count):
    assert len(read_class_names(name)) == count


def test_pascal_orders():
    voc, context = read_class_names("voc20"), read_class_names("context59")
    assert list(voc.names) == sorted(voc.names)
    assert list(context.names) == sorted(context.names)
    renamed = {"diningtable": "table"}
    assert {renamed.get(name, name) for name in voc.names} <= set(context.names)
    # places that a shifted list would not have: the detail API's converter gives these values
    at = {value: context.names[value - 1] for value in (1, 10, 20, 30, 40, 50, 59)}
    assert at == {
        1: "aeroplane",
        10: "bottle",
        20: "cow",
        30: "ground",
        40: "pottedplant",
        50: "table",
        59: "wood",
    }


@pytest.mark.parametrize(("objects", "all_"), [("voc20", "voc21"), ("context59", "context60")])
def test_background_comes_first(objects, all_):
    few, many = read_class_names(objects), read_class_names(all_)
    assert many.names == ("background", *few.names)
    assert many.aliases[1:] == few.aliases
    assert not many.background
    assert not few.background or many.aliases[0] == few.background


def test_background_words_of_voc_are_no_objects_of_it():
    voc = read_class_names("voc20")
    assert len(voc.background) > 20
    assert not set(voc.background) & {word for own in voc.aliases for word in own}


def test_imagenet_s():
    names = read_class_names("imagenet_s50").names
    assert len(WORDNET_NUMBERS) == 50
    assert list(WORDNET_NUMBERS) == sorted(set(WORDNET_NUMBERS))
    known = dict(zip(WORDNET_NUMBERS, names, strict=True))
    assert known["n01443537"] == "goldfish"
    assert known["n02510455"] == "giant panda"
    assert known["n04507155"] == "umbrella"
    assert known["n12998815"] == "agaric"


def test_imagenet_s_against_the_words_of_wordnet():
    timm = pytest.importorskip("timm.data")
    words_of = timm.ImageNetInfo().label_name_to_description
    classes = read_class_names("imagenet_s50")
    for number, name, aliases in zip(WORDNET_NUMBERS, classes.names, classes.aliases, strict=True):
        words = {word.strip().lower() for word in words_of(number).split(",")}
        assert words & {name, *aliases}, (number, name, words)


def test_orders_that_are_alphabetical():
    stuff, concepts = read_class_names("coco_stuff171").names[80:], read_class_names("nus_wide81")
    assert list(stuff) == sorted(stuff)
    assert list(concepts.names) == sorted(concepts.names)


@pytest.mark.parametrize(
    ("name", "digits"), [("ade150", "ffd47f2fcbad6c48"), ("coco80", "d7654b2610157284")]
)
def test_orders_that_are_arbitrary(name, digits):
    """Held by hand against objectInfo150.txt, and labels.txt of COCO-Stuff less its gaps."""
    names = "\n".join(read_class_names(name).names)
    assert sha256(names.encode()).hexdigest().startswith(digits)


def test_an_unknown_list():
    with pytest.raises(UnknownNameError, match="Did you mean 'voc2"):
        read_class_names("voc2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 names"),
        ("# nothing", "0 names"),
        ("cat\ncat", "'cat' more than once"),
        ("cat: pet\ndog: pet", "'pet' more than once"),
        ("cat\n~ wall, cat", "'cat' more than once"),
    ],
)
def test_text_that_is_no_list(text, message):
    with pytest.raises(InputError, match=message):
        parse_class_names(text)


def test_aliases_for_each_name():
    with pytest.raises(InputError, match="2 names and 1"):
        ClassNames(names=("a", "b"), aliases=(("a",),))
