import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.segments import resized, segmentation_figure
from clip_surgery.framing import Size
from clip_surgery.records.mask_files import voc_palette

IMAGE = Image.new("RGB", (40, 30), (90, 140, 60))


def halves(left=0, right=1):
    values = torch.full((30, 40), left)
    values[:, 20:] = right
    return values


def colours_of(image):
    return {tuple(colour) for colour in np.unique(np.asarray(image).reshape(-1, 3), axis=0)}


def test_the_legend_has_the_colours_of_the_palette():
    drawn = colours_of(segmentation_figure(IMAGE, halves(), ["dog", "cat"], heading="here"))
    palette = voc_palette()
    assert tuple(palette[1]) in drawn
    assert tuple(palette[2]) in drawn
    assert tuple(palette[3]) not in drawn


def test_background_and_many_classes():
    drawn = segmentation_figure(IMAGE, halves(-1, 3), list("abcd"))
    assert (0, 0, 0) in colours_of(drawn)
    many = torch.arange(1200).view(30, 40) % 60
    assert segmentation_figure(IMAGE, many, [str(i) for i in range(60)]).width == drawn.width


def test_resizing_adds_no_class():
    small = resized(halves(0, 7), Size(7, 9))
    assert small.shape == (7, 9)
    assert small.unique().tolist() == [0, 7]


@pytest.mark.parametrize(
    ("classes", "names", "reason"),
    [
        (halves().T, ["a", "b"], r"image's size \(30, 40\)"),
        (halves(0, 2), ["a", "b"], "a name for class 2"),
    ],
)
def test_bad_segmentations(classes, names, reason):
    with pytest.raises(InputError, match=reason):
        segmentation_figure(IMAGE, classes, names)
