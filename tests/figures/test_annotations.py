import numpy as np
import pytest
import torch
from PIL import Image

from clip_surgery.errors import InputError
from clip_surgery.figures.annotations import OFF, ON, cut_out, draw_annotations
from clip_surgery.framing import Size
from clip_surgery.tasks.boxes import Box
from clip_surgery.tasks.points import Points

GREY = Image.new("RGB", (120, 80), (128, 128, 128))


def points(*xy_label):
    rows = np.array(xy_label, np.float32).reshape(-1, 3)
    return Points(xy=rows[:, :2], labels=rows[:, 2].astype(np.int64))


def test_points_are_drawn_at_their_coordinates():
    # the drawn image has half the size of the original
    drawn = draw_annotations(GREY, Size(160, 240), points=points((40, 60, 1), (200, 100, 0)))
    assert drawn.getpixel((20, 30)) == pytest.approx(ON, abs=2)
    assert drawn.getpixel((100, 50)) == pytest.approx(OFF, abs=2)
    assert drawn.getpixel((60, 10)) == (128, 128, 128)
    assert GREY.getpixel((20, 30)) == (128, 128, 128)


def test_boxes_are_drawn_at_their_coordinates():
    drawn = draw_annotations(
        GREY, Size(80, 120), boxes=[Box(xyxy=(10, 20, 60, 70), score=1, area=1)]
    )
    changed = np.argwhere((np.asarray(drawn) != 128).any(-1))
    assert (abs(changed.min(0) - (20, 10)) <= 3).all()
    assert (abs(changed.max(0) - (70, 60)) <= 3).all()
    assert drawn.getpixel((35, 45)) == (128, 128, 128)


@pytest.mark.parametrize("size", [(1, 1), (300, 2), (2, 300)])
def test_images_of_any_shape(size):
    image = Image.new("RGB", size)
    width, height = size
    assert (
        draw_annotations(image, Size(height, width), points=points((0, 0, 1), (0, 0, 0))).size
        == size
    )
    assert cut_out(image, torch.ones(height, width, dtype=torch.bool)).size == size


def test_without_points_the_image_is_unchanged():
    assert draw_annotations(GREY, Size(80, 120), points=points()).tobytes() == GREY.tobytes()


def test_cut_out_keeps_the_colours_inside_of_the_mask():
    red = Image.new("RGB", (120, 80), (200, 30, 30))
    mask = torch.zeros(160, 240, dtype=torch.bool)
    mask[:, :120] = True
    drawn = cut_out(red, mask)
    assert drawn.getpixel((20, 40)) == (200, 30, 30)
    assert drawn.getpixel((60, 40)) == ON  # the border
    outside = drawn.getpixel((100, 40))
    assert len(set(outside)) == 1
    assert outside[0] < 60


def test_a_mask_has_two_axes():
    with pytest.raises(InputError, match=r"mask \(H, W\)"):
        cut_out(GREY, torch.ones(1, 80, 120))
