"""Shapes of COCO: polygons and run lengths pixel by pixel, and which object is in front."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from clip_surgery.errors import InputError, MissingExtraError
from clip_surgery.evaluation.datasets.coco import shapes as coco_shapes
from clip_surgery.evaluation.datasets.coco.annotations import Instance
from clip_surgery.evaluation.datasets.coco.shapes import draw, paint
from clip_surgery.evaluation.datasets.dataset import NO_OBJECT, NOT_JUDGED
from tests.evaluation.datasets.small_coco import rectangle

SIZE = (6, 8)


def box(left, top, right, bottom):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_a_polygon_covers_whole_pixels():
    np.testing.assert_array_equal(draw(rectangle(2, 1, 5, 4), SIZE), box(2, 1, 5, 4))


def test_polygons_of_one_object_are_joined():
    shape = rectangle(0, 0, 2, 2) + rectangle(5, 3, 8, 6)
    np.testing.assert_array_equal(draw(shape, SIZE), box(0, 0, 2, 2) | box(5, 3, 8, 6))


def test_a_polygon_is_cut_at_the_border():
    np.testing.assert_array_equal(draw(rectangle(-3, -2, 3, 30), SIZE), box(0, 0, 3, 6))


@pytest.mark.parametrize("shape", [[], [[]], [[1, 1, 5, 5]], [[1, 1]]])
def test_less_than_three_points_enclose_nothing(shape):
    assert not draw(shape, SIZE).any()


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_of_either_form(seed):
    mask = np.random.default_rng(seed).random(SIZE) < 0.4
    mask[0, 0] = seed % 2  # the first length is that of 0s, and may be 0
    flat = mask.ravel(order="F")
    counts, value = [0], False
    for cell in flat:
        if cell != value:
            counts.append(0)
            value = cell
        counts[-1] += 1
    np.testing.assert_array_equal(draw({"size": [*SIZE], "counts": counts}, SIZE), mask)
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    text = {"size": packed["size"], "counts": packed["counts"].decode()}
    np.testing.assert_array_equal(draw(text, SIZE), mask)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (None, "polygons or run lengths, but got NoneType"),
        ("12", "but got str"),
        ([[1, 1, 2, 2, 3]], "x, y"),
        ([1, 1, 5, 1, 5, 5], "x, y"),
        ([["1", 1, 2, 2, 3, 3]], "x, y"),
        ([[1, 1, float("nan"), 2, 3, 3]], "nan"),
        ([[1, 1, 1e9, 2, 3, 3]], "1000000000"),
        ({"size": [8, 6], "counts": [48]}, r"size \[6, 8\], but got \[8, 6\]"),
        ({"size": None, "counts": [48]}, "size"),
        ({"counts": [48]}, "size"),
        ({"size": [6, 8], "counts": [40]}, "fill 6 x 8"),
        ({"size": [6, 8], "counts": [50]}, "fill 6 x 8"),
        ({"size": [6, 8], "counts": [-1, 49]}, "fill 6 x 8"),
        ({"size": [6, 8], "counts": []}, "fill 6 x 8"),
        ({"size": [6, 8], "counts": None}, "fill 6 x 8"),
        ({"size": [6, 8], "counts": "12"}, "fill 6 x 8"),
        ({"size": [6, 8], "counts": "~~~ä"}, "fill 6 x 8"),
    ],
)
def test_a_damaged_shape_is_named(shape, message):
    with pytest.raises(InputError, match=message):
        draw(shape, SIZE)
    with pytest.raises(InputError, match=r"^here\.json: annotation 7: "):
        paint([Instance(number=7, index=0, crowd=False, shape=shape)], SIZE, "here.json")


def test_a_long_message_is_cut():
    with pytest.raises(InputError) as caught:
        draw([[1.5] * 1001], SIZE)
    assert len(str(caught.value)) < 150


def layers(*shapes):
    """(index, crowd, box) each."""
    return [
        Instance(number=number, index=index, crowd=crowd, shape=rectangle(*own))
        for number, (index, crowd, own) in enumerate(shapes)
    ]


def naive(shapes):
    """Pixel by pixel: of the objects that cover it, the one of least area, the last of equals."""
    mask = np.full(SIZE, NO_OBJECT)
    for y, x in np.ndindex(SIZE):
        over = [
            (own[2] - own[0]) * (own[3] - own[1])
            if not crowd and own[0] <= x < own[2] and own[1] <= y < own[3]
            else np.inf
            for _, crowd, own in shapes
        ]
        least = min(over, default=np.inf)
        if least < np.inf:
            mask[y, x] = [s[0] for s, area in zip(shapes, over, strict=True) if area == least][-1]
        elif any(c and b[0] <= x < b[2] and b[1] <= y < b[3] for _, c, b in shapes):
            mask[y, x] = NOT_JUDGED
    return mask


def test_the_smaller_object_is_on_top_whatever_the_order():
    table, plate, fork = (
        (1, False, (0, 0, 8, 6)),
        (2, False, (2, 1, 6, 5)),
        (3, False, (3, 2, 4, 4)),
    )
    for order in ([table, plate, fork], [fork, plate, table], [plate, fork, table]):
        mask = paint(layers(*order), SIZE, "x")
        assert (mask[0, 0], mask[1, 2], mask[2, 3]) == (1, 2, 3)
        assert (mask == 3).sum() == 2


def test_painting_against_pixel_by_pixel():
    rng = np.random.default_rng(3)
    for _ in range(50):
        shapes = []
        for _ in range(rng.integers(0, 7)):
            left, right = np.sort(rng.choice(9, 2, replace=False)).tolist()
            top, bottom = np.sort(rng.choice(7, 2, replace=False)).tolist()
            box = (left, top, right, bottom)
            shapes.append((int(rng.integers(80)), bool(rng.random() < 0.3), box))
        mask = paint(layers(*shapes), SIZE, "x")
        assert mask.dtype == np.int64
        assert mask.flags.c_contiguous
        np.testing.assert_array_equal(mask, naive(shapes))


def test_a_crowd_is_not_judged_but_an_object_in_it_is():
    mask = paint(layers((5, False, (1, 1, 3, 3)), (0, True, (0, 0, 6, 6))), SIZE, "x")
    assert (mask[:3, :3] == [[-2, -2, -2], [-2, 5, 5], [-2, 5, 5]]).all()
    assert (mask[:, 6:] == NO_OBJECT).all()


def test_a_image_without_objects():
    assert (paint([], SIZE, "x") == NO_OBJECT).all()


def test_without_pycocotools(monkeypatch):
    monkeypatch.setattr(coco_shapes, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'clip-surgery\[evaluation\]'"):
        coco_shapes.check_pycocotools()
