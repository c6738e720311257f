"""Tasks of several images at once give what they give for each image alone."""

import numpy as np
import pytest
import torch

from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.records.instances import instances
from clip_surgery.tasks.boxes import BoxRule, boxes
from clip_surgery.tasks.cell_argmax import argmax_of_resized
from clip_surgery.tasks.map_resize import MapResize
from clip_surgery.tasks.regions import find_regions
from clip_surgery.tasks.segmentation import segment

TEXTS = ("dog", "boat", "train", "bench", "ice cream")
SIZES = (Size(60, 80), Size(60, 80), Size(80, 60), Size(60, 80), Size(33, 47), Size(80, 60))


@pytest.fixture(scope="module")
def explanation():
    generator = torch.Generator().manual_seed(3)
    framings = [Framing.keep_ratio(size, short_side=48, multiple_of=8) for size in SIZES]
    grids = [(f.frame.height // 8, f.frame.width // 8) for f in framings]
    maps = [
        torch.randn(2, len(TEXTS), *grid, generator=generator).cumsum(-1).unbind(0)
        for grid in grids
    ]
    maps[1][0][:] = 0.25  # flat
    return Explanation(
        patch_scores=tuple(scores for scores, _ in maps),
        similarity=tuple(similarity for _, similarity in maps),
        image_scores=torch.rand(len(SIZES), len(TEXTS), generator=generator),
        reference_log_ratios=torch.randn(len(SIZES), 2, len(TEXTS), generator=generator),
        texts=TEXTS,
        framings=tuple(framings),
        images=tuple(f"image {index}" for index in range(len(SIZES))),
        method="noise",
        backbone="none",
    )


@pytest.mark.parametrize("min_presence", [None, 0.5])
@pytest.mark.parametrize("texts", [None, ["boat,dog", "ice cream"]])
def test_boxes(explanation, texts, min_presence):
    together = boxes(explanation, texts, min_presence=min_presence)
    alone = [boxes(image, texts, min_presence=min_presence)[0] for image in explanation]
    assert together == alone
    assert any(of_text for of_image in together for of_text in of_image)


def test_boxes_in_small_parts(explanation, monkeypatch):
    whole = boxes(explanation, rule=BoxRule(threshold=0.7))
    monkeypatch.setattr("clip_surgery.tasks.boxes._SCORES_TOGETHER", 1)
    assert boxes(explanation, rule=BoxRule(threshold=0.7)) == whole


@pytest.mark.parametrize(
    "settings",
    [{}, {"background": "threshold"}, {"background": "words", "background_words": ["train"]}],
)
def test_segmentation(explanation, settings):
    texts = ["ice cream", "dog,bench", "boat"]
    together = segment(explanation, texts, **settings)
    for segmentation, image, size in zip(together, explanation, SIZES, strict=True):
        [alone] = segment(image, texts, **settings)
        assert torch.equal(segmentation, alone)
        assert segmentation.dtype == torch.int64
        assert segmentation.is_contiguous()
        assert segmentation.shape == torch.Size(size)


@pytest.mark.parametrize("pixels", [1, 2**24])
def test_masks_of_instances_are_those_of_the_segmentation(explanation, pixels, monkeypatch):
    monkeypatch.setattr("clip_surgery.tasks.class_maps._PIXELS", pixels)
    for texts in (None, ["ice cream", "dog,bench", "boat"]):
        segmentations = segment(explanation, texts)
        for of_image, segmentation in zip(
            instances(explanation, texts, parts=["masks"]), segmentations, strict=True
        ):
            for index, instance in enumerate(of_image):
                assert np.array_equal(instance.mask(), (segmentation == index).numpy())


def test_instances(explanation):
    together = instances(explanation, min_presence=0.5)
    for index, image in enumerate(explanation):
        [alone] = instances(image, min_presence=0.5)
        for first, second in zip(together[index], alone, strict=True):
            assert (first.boxes, first.rle) == (second.boxes, second.rle)
            assert first.presence == pytest.approx(second.presence, abs=1e-6)
            assert np.array_equal(first.points.xy, second.points.xy)


def test_argmax_equals_that_of_the_resized_maps_for_all_images():
    framing = Framing.keep_ratio(Size(50, 70), short_side=48, multiple_of=8)
    resize = MapResize.of(framing, Size(6, 8))
    maps = torch.randn(4, 40, 6, 8, generator=torch.Generator().manual_seed(1))
    number, value = argmax_of_resized(maps, resize, with_value=True)
    expected = resize(maps)
    assert torch.equal(number.long(), expected.argmax(dim=1))
    assert torch.equal(value, expected.amax(dim=1))
    assert number.transpose(1, 2).is_contiguous()  # the order of run lengths


def test_more_maps_than_int16_can_count():
    framing = Framing.squash(Size(4, 4), frame=Size(16, 16))
    resize = MapResize.of(framing, Size(2, 2))
    maps = torch.zeros(2**15 + 2, 2, 2)
    maps[2**15 + 1] = 1
    assert argmax_of_resized(maps, resize).number.unique().tolist() == [2**15 + 1]


def test_equal_maps_are_won_by_the_first():
    resize = MapResize.of(Framing.squash(Size(9, 9), frame=Size(24, 24)), Size(3, 3))
    maps = torch.randn(1, 3, 3, generator=torch.Generator().manual_seed(0)).repeat(20, 1, 1)
    assert argmax_of_resized(maps, resize).number.unique().tolist() == [0]


def test_regions_of_neighbouring_maps_and_lines_are_apart():
    levels = np.zeros((3, 2, 3), np.float32)
    levels[0, 1, 2] = levels[1, 0, 0] = levels[1, 1, 2] = levels[2, 0, :] = 1
    regions = find_regions(levels, 0.5, Size(2, 3))
    assert regions.map_numbers.tolist() == [0, 1, 1, 2]
    assert regions.areas.tolist() == [1, 1, 1, 3]
    assert regions.xyxy.tolist() == [[2, 1, 3, 2], [0, 0, 1, 1], [2, 1, 3, 2], [0, 0, 3, 1]]
    assert regions.means.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_maps_without_a_region_and_maps_full_of_one(level):
    regions = find_regions(np.full((2, 3, 4), level, np.float32), 0.5, Size(6, 8))
    assert regions.areas.tolist() == ([] if level == 0 else [12, 12])
    assert regions.xyxy.tolist() == ([] if level == 0 else [[0, 0, 8, 6]] * 2)
