from pathlib import Path

import pytest

from clip_surgery.apps.cli.shared.request import names_images, sort_arguments


@pytest.fixture(autouse=True)
def album(home):
    (home / "photos").mkdir()
    (home / "empty").mkdir()
    for name in ("street.jpg", "photos/b.png", "photos/a.jpg", "person", "photos/notes.txt"):
        (home / name).touch()


def test_images_and_texts_in_order():
    request = sort_arguments(["bench", "photos", "a red car", "street.jpg", "photos/*.png"])
    assert request.texts == ("bench", "a red car")
    assert request.images == (Path("photos/a.jpg"), Path("photos/b.png"), Path("street.jpg"))
    assert request.missing == ()


@pytest.mark.parametrize(
    ("argument", "images"),
    [
        ("street.jpg", True),
        ("photos", True),
        ("person", True),  # a file of this name exists
        ("*.jpg", True),
        ("STREET.JPEG", True),  # missing
        ("no/such/file", True),
        ("*.bmp", True),
        ("https://example.org/cat", True),
        ("bench", False),
        ("what is it?", False),
        ("a dog [brown]", False),
        ("3.5 mm jack", False),
        ("größe", False),
        ("", False),
    ],
)
def test_which_arguments_name_images(argument, images):
    assert names_images(argument) is images


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ("stret.jpg", "stret.jpg: no such file."),
        (
            "empty",
            "empty: no image in this folder, which has no files. If it is a text, give it",
        ),
        ("and/or", "and/or: no such file. If it is a text, give it with --text."),
        ("*.bmp", "*.bmp: no image matches this pattern; "),
        ("http://x.org/a.png", "http://x.org/a.png: images are read from files; download it"),
    ],
)
def test_a_missing_image_does_not_become_a_text(argument, reason):
    request = sort_arguments([argument, "bench"])
    assert request.texts == ("bench",)
    assert request.images == ()
    assert request.missing[0].startswith(reason)


def test_an_image_named_twice_is_taken_once():
    request = sort_arguments(["street.jpg", "*.jpg", "street.jpg"])
    assert request.images == (Path("street.jpg"),)
