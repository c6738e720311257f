"""Samples with invalid fields, labels without a mask, and positive and negative indices."""

import numpy as np
import pytest
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.evaluation.datasets.dataset import (
    NOT_JUDGED,
    Sample,
    describe_dataset,
    position,
)
from clip_surgery.evaluation.datasets.subset import Subset


def test_labels_without_a_mask():
    image = Image.new("RGB", (3, 2))
    sample = Sample.without_mask(image, present=frozenset({"cat"}), unsure=frozenset({"dog"}))
    assert (sample.mask == NOT_JUDGED).all()
    assert (sample.mask.shape, sample.mask.dtype) == ((2, 3), np.int64)
    assert (sample.present, sample.unsure) == ({"cat"}, {"dog"})
    assert Sample.without_mask(image, present=frozenset()).unsure == frozenset()


def test_a_name_cannot_be_present_and_unsure():
    with pytest.raises(InputError, match="either present or unsure, but got both for cat, dog"):
        Sample.without_mask(
            Image.new("RGB", (3, 2)),
            present=frozenset({"cat", "dog", "owl"}),
            unsure=frozenset({"dog", "cat", "bee"}),
        )


def test_position():
    assert [position(index, 3) for index in (0, 2, -1, np.int64(1))] == [0, 2, 2, 1]
    for index in (3, -4):
        with pytest.raises(IndexError, match="below 3"):
            position(index, 3)


class Unnamed:
    name = "unnamed"
    names = ("cat",)

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise IndexError(index)


def test_a_dataset_without_a_repr_is_described_alike_in_every_run():
    described = f"{__name__}.Unnamed(name='unnamed', images=3, classes=1)"
    assert describe_dataset(Unnamed()) == describe_dataset(Unnamed()) == described
    assert repr(Subset(Unnamed(), 2)) == f"Subset({described}, count=2)"
