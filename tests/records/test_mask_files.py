import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.records.mask_files import (
    decode_rle,
    encode_classes,
    encode_rle,
    palette_image,
    voc_palette,
)


def test_the_palette_is_that_of_voc():
    known = {
        0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128),
        8: (64, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 21: (128, 64, 128),
        255: (224, 224, 192),
    }  # fmt: skip
    for index, colour in known.items():
        assert tuple(voc_palette()[index].tolist()) == colour
    assert len({tuple(colour) for colour in voc_palette().tolist()}) == 256


def test_a_palette_image_is_read_back(tmp_path):
    classes = torch.tensor([[-1, 0, 1], [254, 3, -1]])
    palette_image(classes).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P"
        assert np.array_equal(np.asarray(image).astype(int) - 1, classes)
        assert image.convert("RGB").getpixel((1, 0)) == (128, 0, 0)


@pytest.mark.parametrize("bad", [[[255]], [[-2]], [0, 1], [[]]])
def test_bad_segmentations(bad):
    with pytest.raises(InputError):
        palette_image(np.array(bad))


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (40, 60), (1, 3000), (300, 1)])
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 0.98, 1.0])
def test_decoding_is_the_inverse_of_encoding(shape, density):
    mask = np.random.default_rng(0).random(shape) < density
    rle = encode_rle(mask)
    assert rle["size"] == list(shape)
    assert np.array_equal(decode_rle(rle), mask)
    assert encode_rle(torch.from_numpy(mask)) == rle


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 5000), max_size=12))
def test_any_run_lengths_are_read_back(runs):
    values = np.repeat(np.arange(len(runs)) % 2 == 0, runs)
    if not len(values):
        return
    mask = values.reshape(-1, 1)
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)


def naive_counts(mask):
    """The compressed run lengths of COCO, letter by letter as the format is described."""
    runs, value, length = [], False, 0
    for column in range(mask.shape[1]):
        for row in range(mask.shape[0]):
            if mask[row, column] != value:
                runs.append(length)
                value, length = not value, 0
            length += 1
    runs.append(length)
    text = ""
    for index, run in enumerate(runs):
        number = run - runs[index - 2] if index > 2 else run
        unfinished = True
        while unfinished:
            low = number & 0x1F
            number >>= 5
            unfinished = number != -1 if low & 0x10 else number != 0
            text += chr((low | 0x20 if unfinished else low) + 48)
    return text


def test_encoding_equals_a_plain_implementation():
    for seed in range(20):
        mask = np.random.default_rng(seed).random((37, 53)) < (seed + 1) / 22
        assert encode_rle(mask)["counts"] == naive_counts(mask)


def test_equals_pycocotools():
    coco = pytest.importorskip("pycocotools.mask")
    for seed in range(20):
        mask = np.random.default_rng(seed).random((37, 53)) < (seed + 1) / 22
        expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
        assert encode_rle(mask)["counts"] == expected["counts"].decode()


def test_the_classes_of_a_segmentation_are_encoded_like_single_masks():
    rng = np.random.default_rng(0)
    for _ in range(50):
        segmentation = rng.integers(-1, 5, rng.integers(1, 20, 2))
        for number, rle in enumerate(encode_classes(segmentation, 6)):
            mask = segmentation == number
            assert rle == (encode_rle(mask) if mask.any() else None)


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros(4, bool)])
def test_bad_masks(bad):
    with pytest.raises(InputError, match="mask"):
        encode_rle(bad)


@pytest.mark.parametrize("counts", ["3", "5", "", "P"])
def test_bad_lengths(counts):
    with pytest.raises(InputError, match="2 x 2"):
        decode_rle({"size": [2, 2], "counts": counts})


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    count=st.integers(1, 5),
    seed=st.integers(0, 999),
)
def test_all_classes_in_one_pass_are_encoded_as_one_by_one(size, count, seed):
    classes = np.random.default_rng(seed).integers(-1, count, size)
    for number, rle in enumerate(encode_classes(classes, count + 1)):
        mask = classes == number
        assert rle == (encode_rle(mask) if mask.any() else None)


def test_classes_that_cannot_be_encoded():
    with pytest.raises(InputError, match="whole numbers"):
        encode_classes(np.zeros((2, 2)), 1)
    with pytest.raises(InputError, match="below 2, but got 2"):
        encode_classes(np.array([[2]]), 2)
