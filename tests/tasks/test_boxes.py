import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from clip_surgery.errors import InputError
from clip_surgery.framing import Framing, Size
from clip_surgery.tasks.boxes import BoxRule, boxes
from clip_surgery.tasks.heatmaps import heatmaps
from tests.explanations import explained, random_scores

SAME = Framing.squash(Size(20, 30), frame=Size(20, 30))


def two_blobs():
    scores = torch.zeros(1, 20, 30)
    scores[0, 2:7, 3:10] = 0.9
    scores[0, 3:5, 4:8] = 1.0
    scores[0, 12:18, 20:28] = 0.8
    return scores


def test_boxes_of_two_blobs():
    first, second = boxes(explained(two_blobs(), framing=SAME), "text 0")[0][0]
    assert first.xyxy == (3, 2, 10, 7)
    assert second.xyxy == (20, 12, 28, 18)
    assert (first.area, second.area) == (35, 48)
    assert first.score == pytest.approx((27 * 0.9 + 8) / 35)
    assert second.score == pytest.approx(0.8)


def test_pixels_that_touch_by_a_corner_are_of_one_region():
    """A ring with a gap holds together by its corners; what lies within it is another region."""
    scores = torch.tensor(
        [
            [0, 1, 1, 1, 0],
            [1, 0, 0, 0, 1],
            [1, 0, 1, 0, 0],
            [1, 0, 0, 0, 1],
            [0, 1, 1, 1, 0],
        ]
    )
    framing = Framing.squash(Size(5, 5), frame=Size(5, 5))
    found = boxes(explained(scores[None].float(), framing=framing), "text 0")[0][0]
    assert [(box.xyxy, box.area) for box in found] == [((0, 0, 5, 5), 11), ((2, 2, 3, 3), 1)]


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    density=st.floats(0.1, 0.9),
    seed=st.integers(0, 999),
)
def test_regions_are_those_of_a_fill_from_each_pixel(shape, density, seed):
    """A fill from each pixel finds the same regions."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(shape, generator=generator)
    scores = scores.where(torch.rand(shape, generator=generator) < density, torch.zeros(()))
    explanation = explained(scores[None], framing=Framing.squash(Size(*shape), frame=Size(*shape)))
    heat = heatmaps(explanation)[0][0]
    left = {(y, x) for y, x in (heat >= 0.5).nonzero().tolist()}
    expected = []
    while left:
        region, front = set(), {left.pop()}
        while front:
            y, x = front.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left, front = left - near, front | near
        rows, columns = zip(*region, strict=True)
        corners = (min(columns), min(rows), max(columns) + 1, max(rows) + 1)
        score = sum(float(heat[y, x]) for y, x in region) / len(region)
        expected.append((corners, len(region), pytest.approx(score, abs=1e-6)))
    found = boxes(explanation, "text 0", rule=BoxRule(smallest=0))[0][0]
    assert sorted((box.xyxy, box.area, box.score) for box in found) == sorted(
        expected, key=lambda one: one[:2]
    )
    assert [box.score for box in found] == sorted((box.score for box in found), reverse=True)


def test_rule():
    explanation = explained(two_blobs(), framing=SAME)
    assert len(boxes(explanation, "text 0", rule=BoxRule(count=1))[0][0]) == 1
    assert len(boxes(explanation, "text 0", rule=BoxRule(threshold=0.85))[0][0]) == 1
    assert len(boxes(explanation, "text 0", rule=BoxRule(smallest=0.07))[0][0]) == 1
    assert boxes(explanation, "text 0", rule=BoxRule(smallest=1))[0][0] == []


def test_flat_maps_and_absent_texts_have_no_box():
    explanation = explained(
        torch.zeros(1, 4, 4), two_blobs(), reference_log_ratios=torch.full((2, 2, 1), -9.0)
    )
    assert [len(found) for [found] in boxes(explanation, "text 0")] == [0, 2]
    assert boxes(explanation, "text 0", min_presence=0.5) == [[[]], [[]]]


@settings(max_examples=60, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    framing=st.sampled_from(["squash", "letterbox"]),
    threshold=st.floats(0.05, 1),
)
def test_boxes_lie_in_the_image(grid, size, framing, threshold):
    framing = getattr(Framing, framing)(Size(*size), frame=Size(8 * grid[0], 8 * grid[1]))
    explanation = explained(random_scores(1, *grid), framing=framing)
    rule = BoxRule(threshold=threshold, smallest=0)
    for box in boxes(explanation, "text 0", rule=rule)[0][0]:
        left, top, right, bottom = box.xyxy
        assert 0 <= left < right <= size[1]
        assert 0 <= top < bottom <= size[0]
        assert threshold - 1e-6 <= box.score <= 1
        assert 1 <= box.area <= (right - left) * (bottom - top)


@pytest.mark.parametrize(
    "change", [{"threshold": 0}, {"threshold": 1.2}, {"smallest": -1}, {"count": 0}]
)
def test_bad_rules(change):
    with pytest.raises(InputError, match=next(iter(change))):
        BoxRule(**change)
