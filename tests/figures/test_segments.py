import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.segments import OUTLINES, class_colours, resized, segmentation_figure
from clip_surgery.framing import Size

IMAGE = Image.new("RGB", (40, 30), (90, 140, 60))


def halves(left=0, right=1):
    values = torch.full((30, 40), left)
    values[:, 20:] = right
    return values


def colours_of(image):
    return {tuple(colour) for colour in np.unique(np.asarray(image.image()).reshape(-1, 3), axis=0)}


def test_the_legend_has_the_colours_of_the_classes():
    drawn = colours_of(segmentation_figure(IMAGE, halves(), ["dog", "cat"], heading="here"))
    palette = class_colours(3)
    assert tuple(palette[0]) in drawn
    assert tuple(palette[1]) in drawn
    assert tuple(palette[2]) not in drawn


def test_colours_are_told_apart_and_do_not_depend_on_the_number_of_classes():
    palette = class_colours(24).astype(int)
    differences = np.abs(palette[:, None] - palette[None]).sum(-1) + 999 * np.eye(24, dtype=int)
    assert differences.min() > 60
    assert (class_colours(5) == palette[:5]).all()
    assert class_colours(0).shape == (0, 3)


def test_classes_have_outlines_that_are_visible_on_any_image():
    for value in (0, 128, 255):
        image = Image.new("RGB", (400, 300), (value,) * 3)
        classes = halves().repeat_interleave(10, 0).repeat_interleave(10, 1)
        drawn = np.asarray(segmentation_figure(image, classes, ["dog", "cat"]).image())
        dark = (drawn == OUTLINES[1]).all(-1)
        white_between = dark[:, :-2] & dark[:, 2:] & (drawn[:, 1:-1] == OUTLINES[0]).all(-1)
        assert white_between.sum() > 200


def test_the_legend_has_shares_presences_and_names_in_full():
    plain = segmentation_figure(IMAGE, halves(), ["dog", "cat"])
    wider = segmentation_figure(IMAGE, halves(), ["dog", "cat"], presences=[0.9, 0.1])
    assert wider.width > plain.width
    image = Image.new("RGB", (4, 4))
    groups = [", ".join(f"name {i}" for i in range(9))] * 16
    many = torch.arange(16).view(4, 4)
    tall = segmentation_figure(image, many, groups)
    assert tall.height > segmentation_figure(image, many, ["dog"] * 16).height + 16 * 20


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


def test_a_wrong_number_of_presences():
    with pytest.raises(InputError, match="a presence for each of 2 classes, but got 1"):
        segmentation_figure(IMAGE, halves(), ["a", "b"], presences=[0.5])
