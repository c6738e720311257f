import threading

import pytest

from clip_surgery.apps.batch import decoding
from clip_surgery.apps.batch.decoding import decode, prefetch_images, windows
from clip_surgery.apps.batch.items import Item
from tests.apps.batch.jobs import grey


@pytest.fixture
def items(tmp_path):
    for value in range(12):
        if value != 5:
            grey(value, size=(10, 10 + value)).save(tmp_path / f"{value}.png")
    return [Item(value, f"n{value}", str(tmp_path / f"{value}.png")) for value in range(12)]


def seen(reads):
    return [(one.item.name, one.image and one.image.size, one.error) for one in reads]


def test_order_is_that_of_the_items_however_many_threads(items):
    expected = seen(map(decode, items))
    assert [name for name, _, _ in expected] == [f"n{value}" for value in range(12)]
    assert expected[5] == ("n5", None, "n5: no such file.")
    for threads in (0, 1, 3, 50):
        assert seen(prefetch_images(items, threads=threads)) == expected


def test_reading_stays_a_bounded_number_ahead(items, monkeypatch):
    begun, lock = [], threading.Lock()

    def counting(item):
        with lock:
            begun.append(item.index)
        return decode(item)

    monkeypatch.setattr(decoding, "decode", counting)
    for taken, _ in enumerate(prefetch_images(items, threads=2), start=1):
        assert len(begun) <= taken + 4


def test_reading_can_be_given_up(items):
    ahead = prefetch_images(items, threads=2)
    next(ahead)
    ahead.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("decode")]


def test_nothing_and_too_little_memory(items, monkeypatch):
    message = "row 3: expected an image, but got nothing (null)."
    assert decode(Item(0, "row 3", None)).error == message

    def full(content, *, name):
        raise MemoryError

    monkeypatch.setattr(decoding, "read_image", full)
    assert decode(items[0]).error == "n0: out of memory."


def test_an_error_of_the_system_while_reading_is_the_error_of_that_image(items, monkeypatch):
    def failing(content, *, name):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(decoding, "read_image", failing)
    assert decode(items[0]).error == "n0: cannot be read (Input/output error)."


def test_windows_are_bounded_by_count_and_by_pixels(items):
    reads = [decode(item) for item in items]
    assert [one for window in windows(reads, count=5) for one in window] == reads
    assert [len(window) for window in windows(reads, count=5)] == [5, 5, 2]
    for window in windows(reads, count=5, pixels=300):
        areas = [one.image.size.height * one.image.size.width for one in window if one.image]
        assert sum(areas) <= 300
    assert [len(window) for window in windows(reads, count=5, pixels=1)] == [1] * 12
    assert list(windows([], count=5)) == []
