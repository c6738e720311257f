"""Tasks for all texts and images at once give what a loop over single maps gives."""

import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.surgery.min_max import is_flat, min_max
from clip_surgery.tasks.boxes import BoxRule, boxes
from clip_surgery.tasks.cell_argmax import argmax_of_resized
from clip_surgery.tasks.heatmaps import heatmap_tiles, heatmaps
from clip_surgery.tasks.map_resize import MapResize
from clip_surgery.tasks.patch_centres import patch_centres, patches_in_image
from clip_surgery.tasks.peaks import peaks
from clip_surgery.tasks.point_rules import PeakPoints
from clip_surgery.tasks.points import points
from clip_surgery.tasks.presence import presence
from clip_surgery.tasks.segmentation import segment
from clip_surgery.tasks.tags import tags
from tests.explanations import explained, random_scores

FULL = BoxRule(samples_per_patch=None, smallest=0.0)


def smooth_scores(count, rows, columns, seed=0):
    scores = random_scores(count, rows + 2, columns + 2, seed=seed)
    return torch.nn.functional.avg_pool2d(scores[None], 3, 1)[0]


def flat_beside_random():
    return torch.stack([torch.full((5, 7), 0.25), random_scores(5, 7), torch.zeros(5, 7)])


LETTERBOX = Framing.letterbox(Size(60, 33), frame=Size(80, 80))
CASES = {
    "random": (random_scores(4, 5, 7), Framing.squash(Size(41, 60), frame=Size(80, 112))),
    "smooth": (smooth_scores(9, 9, 12), Framing.squash(Size(90, 120), frame=Size(144, 192))),
    "flat": (flat_beside_random(), Framing.squash(Size(40, 60), frame=Size(80, 112))),
    "letterbox": (random_scores(3, 5, 5), LETTERBOX),
    "one patch": (random_scores(3, 1, 1), Framing.squash(Size(9, 7), frame=Size(16, 16))),
    "one row": (random_scores(3, 1, 6), Framing.squash(Size(9, 70), frame=Size(16, 96))),
    "one text": (random_scores(1, 4, 4), Framing.squash(Size(31, 30), frame=Size(64, 64))),
    "small image": (random_scores(3, 8, 8), Framing.squash(Size(5, 3), frame=Size(128, 128))),
}


@pytest.fixture(params=CASES)
def explanation(request):
    scores, framing = CASES[request.param]
    return explained(scores, framing=framing, similarity=True)


def resized(explanation, index):
    """One map at the size of the image."""
    return explanation.framings[0].restore_map(explanation.patch_scores[0][index])


def test_heatmaps_are_single_maps_resized_and_scaled(explanation):
    for index, heatmap in enumerate(heatmaps(explanation)[0]):
        full = resized(explanation, index)
        torch.testing.assert_close(heatmap, min_max(full), atol=1e-5, rtol=0)


def test_the_range_of_a_resized_map_is_that_of_all_its_pixels(explanation):
    scores, framing = explanation.patch_scores[0], explanation.framings[0]
    resize = MapResize.of(framing, Size(*scores.shape[1:]))
    full = resize(scores)
    torch.testing.assert_close(full, framing.restore_map(scores), atol=1e-5, rtol=0)
    low, high = full.amin((1, 2), keepdim=True), full.amax((1, 2), keepdim=True)
    for found in (resize.range_of(scores), resize.range_of_resized(full)):
        torch.testing.assert_close(found, (low, high), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("contrast", ["text", "image", "none", "presence"])
@pytest.mark.parametrize("order", ["resize then scale", "scale then resize"])
@pytest.mark.parametrize("tile", [1, 2, 99])
def test_tiles_are_the_heatmaps(contrast, order, tile):
    scores, framing = CASES["smooth"]
    explanation = explained(
        scores, scores, framing=framing, reference_log_ratios=torch.ones(2, 2, 9)
    )
    how = {"contrast": contrast, "order": order}
    texts = ["text 3", ["text 1", "text 2"], "text 0"]
    whole = heatmaps(explanation, texts, **how)
    parts = list(heatmap_tiles(explanation, texts, tile=tile, **how))
    assert max(len(part.maps) for part in parts) <= tile
    assert parts[0].texts[0] == "text 3"
    for image in range(2):
        found = torch.cat([part.maps for part in parts if part.image == image])
        assert torch.equal(found, whole[image])
    assert [part.first for part in parts if part.image == 1] == list(range(0, 3, tile))


def test_a_union_is_the_highest_of_its_scaled_maps():
    explanation = explained(*CASES["smooth"][:1], framing=CASES["smooth"][1])
    single = heatmaps(explanation)[0]
    [both] = heatmaps(explanation, ["text 4", "text 6"], union=True)
    assert torch.equal(both, single[[4, 6]].amax(0, keepdim=True))
    found = boxes(explanation, "text 4,text 6", rule=FULL)[0][0]
    assert [box.xyxy for box in found] == [box.xyxy for box in naive_boxes(both[0].numpy())]


def naive_peak(scores, framing):
    best = None
    inside = patches_in_image(framing, *scores.shape)
    if not inside.any() or is_flat(scores[inside].min(), scores[inside].max()):
        return None
    for row, column in inside.nonzero().tolist():
        if best is None or scores[row, column] > scores[best]:
            best = (row, column)
    x, y = framing.restore_points(patch_centres(framing, *scores.shape)[best]).tolist()
    return x, y, float(scores[best])


def test_peaks_are_those_of_single_maps(explanation):
    [found] = peaks(explanation)
    for scores, peak in zip(explanation.patch_scores[0], found, strict=True):
        assert peak == naive_peak(scores, explanation.framings[0])


def naive_peak_points(scores, framing, rule):
    """Positive and negative cells of one map, cell by cell."""
    inside = patches_in_image(framing, *scores.shape)
    cells = inside.nonzero().tolist()
    if not cells or is_flat(scores[inside].min(), scores[inside].max()):
        return [], []
    level = (scores - scores[inside].min()) / (scores[inside].max() - scores[inside].min())
    mean = torch.zeros_like(level)
    for row, column in cells:
        near = [
            (r, c)
            for r, c in cells
            if abs(r - row) <= rule.smoothing and abs(c - column) <= rule.smoothing
        ]
        mean[row, column] = sum(level[r, c] for r, c in near) / len(near)
    low, high = mean[inside].min(), mean[inside].max()
    if not is_flat(low, high):
        level = (mean - low) / (high - low)
    positives, negatives = [], []
    for row, column in sorted(cells, key=lambda cell: -float(level[tuple(cell)])):
        around = [(r, c) for r, c in cells if abs(r - row) <= 1 and abs(c - column) <= 1]
        if level[row, column] < rule.threshold or len(positives) == rule.positives:
            break
        if level[row, column] < max(level[cell] for cell in around):
            continue
        if all(np.hypot(r - row, c - column) >= rule.spacing for r, c in positives):
            positives.append((row, column))
    candidates = [cell for cell in cells if level[tuple(cell)] <= rule.highest_negative]
    while candidates and len(negatives) < min(rule.negatives, len(candidates)):
        if not negatives:
            negatives.append(min(candidates, key=lambda cell: float(level[tuple(cell)])))
            continue
        negatives.append(
            max(
                candidates,
                key=lambda cell: min(np.hypot(cell[0] - r, cell[1] - c) for r, c in negatives),
            )
        )
    return positives, negatives


def test_points_are_those_of_single_maps(explanation):
    rule = PeakPoints(threshold=0.6, positives=4, negatives=4)
    [found] = points(explanation, rule=rule)
    framing = explanation.framings[0]
    for scores, of_text in zip(explanation.patch_scores[0], found, strict=True):
        centres = framing.restore_points(patch_centres(framing, *scores.shape))
        for cells, xy in zip(
            naive_peak_points(scores, framing, rule),
            (of_text.positives, of_text.negatives),
            strict=True,
        ):
            expected = [centres[row, column].tolist() for row, column in cells]
            np.testing.assert_allclose(xy, np.reshape(expected, (-1, 2)), rtol=1e-5)


class NaiveBox:
    def __init__(self, xyxy, score, area):
        self.xyxy, self.score, self.area = xyxy, score, area


def naive_boxes(heatmap, threshold=0.5):
    labels, _ = ndimage.label(heatmap >= threshold, structure=np.ones((3, 3)))
    found = []
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        region = labels == number
        xyxy = (columns.start, rows.start, columns.stop, rows.stop)
        found.append(NaiveBox(xyxy, float(heatmap[region].mean(dtype=float)), int(region.sum())))
    return sorted(found, key=lambda box: (-box.score, -box.area, box.xyxy))


def test_boxes_at_full_resolution_are_those_of_single_heatmaps(explanation):
    [found] = boxes(explanation, rule=FULL)
    for heatmap, of_text in zip(heatmaps(explanation)[0], found, strict=True):
        expected = naive_boxes(heatmap.numpy())
        assert [box.xyxy for box in of_text] == [box.xyxy for box in expected]
        assert [box.area for box in of_text] == [box.area for box in expected]
        scores = [box.score for box in expected]
        assert [box.score for box in of_text] == pytest.approx(scores, abs=1e-5)


def intersection_over_union(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0, width) * max(0, height)
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return common / (sum(areas) - common)


@pytest.mark.parametrize(("samples", "mean", "median"), [(3, 0.97, 0.99), (4, 0.85, 0.95)])
def test_boxes_at_a_working_resolution_are_near_those_at_full_resolution(samples, mean, median):
    """An odd number of samples has one at each patch centre, where a map has its extremes."""
    framing = Framing.keep_ratio(Size(480, 640), short_side=224, multiple_of=16)
    explanation = explained(smooth_scores(20, 14, 19), framing=framing)
    [at_working] = boxes(explanation, rule=BoxRule(samples_per_patch=samples))
    [at_full] = boxes(explanation, rule=BoxRule(samples_per_patch=None))
    overlaps = [
        max(intersection_over_union(box.xyxy, other.xyxy) for other in working)
        for working, full in zip(at_working, at_full, strict=True)
        for box in full
    ]
    assert np.mean(overlaps) > mean
    assert np.median(overlaps) > median


def test_segmentation_is_the_argmax_of_resized_maps(explanation):
    scores, framing = explanation.similarity[0], explanation.framings[0]
    full = torch.stack([framing.restore_map(scores[index]) for index in range(len(scores))])
    [found] = segment(explanation)
    won = full.gather(0, found[None])[0]
    torch.testing.assert_close(won, full.amax(0), atol=1e-5, rtol=0)  # equal but for rounding
    differs = found != full.argmax(0)
    runner_up = full.scatter(0, full.argmax(0, keepdim=True), -torch.inf).amax(0)
    assert (full.amax(0) - runner_up)[differs].abs().lt(1e-5).all()


def test_equal_maps_go_to_the_first_of_them():
    scores, framing = CASES["random"]
    doubled = explained(torch.cat([scores, scores]), framing=framing, similarity=True)
    assert torch.equal(
        segment(doubled)[0], segment(explained(scores, framing=framing, similarity=True))[0]
    )


@pytest.mark.parametrize("values", [1, 40, 10**9])
def test_argmax_in_parts_changes_nothing(monkeypatch, values):
    scores, framing = CASES["smooth"]
    resize = MapResize.of(framing, Size(*scores.shape[1:]))
    whole = argmax_of_resized(scores, resize, with_value=True)
    monkeypatch.setattr("clip_surgery.tasks.cell_argmax._VALUES", values)
    parts = argmax_of_resized(scores, resize, with_value=True)
    assert torch.equal(parts.number, whole.number)
    assert torch.equal(parts.value, whole.value)
    assert torch.equal(argmax_of_resized(scores, resize).number, whole.number)


def test_many_images_of_two_grids_are_those_of_one():
    wide, tall = (random_scores(3, 4, 6, seed=s) for s in (1, 2)), random_scores(3, 6, 4)
    framings = [Framing.squash(Size(40, 60), frame=Size(64, 96))] * 2
    framings.insert(1, Framing.letterbox(Size(50, 20), frame=Size(96, 64)))
    first, last = wide
    together = explained(
        first, tall, last, framing=tuple(framings), similarity=True,
        image_scores=random_scores(3, 3),
    )  # fmt: skip
    for image in range(3):
        alone = together[image]
        for task in TASKS.values():
            assert same(task(together)[image], task(alone)[0])


TASKS = {
    "points": lambda e: points(e, rule="peaks"),
    "reference points": points,
    "boxes": boxes,
    "heatmaps": heatmaps,
    "peaks": peaks,
    "presence": lambda e: presence(e) if e.reference_log_ratios is not None else e.image_scores,
}


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if hasattr(one, "xy"):
        return np.array_equal(one.xy, other.xy) and np.array_equal(one.labels, other.labels)
    return one == other


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(4)), images=st.permutations(range(3)), seed=st.integers(0, 99))
def test_the_order_of_texts_and_images_changes_nothing(order, images, seed):
    scores = [random_scores(4, 5, 6, seed=seed + index) for index in range(3)]
    framings = (
        Framing.squash(Size(40, 60), frame=Size(80, 96)),
        Framing.letterbox(Size(70, 20), frame=Size(80, 96)),
        Framing.squash(Size(11, 12), frame=Size(80, 96)),
    )
    explanation = explained(
        *scores, framing=framings, similarity=True, reference_log_ratios=random_scores(3, 2, 4)
    )
    texts = [explanation.texts[index] for index in order]
    shuffled = Explanation.join([explanation[image] for image in images]).only(texts)
    for task in TASKS.values():
        answers, others = task(explanation), task(shuffled)
        for place, image in enumerate(images):
            for number, text in enumerate(order):
                assert same(others[place][number], answers[image][text])
    for place, image in enumerate(images):
        classes = torch.tensor(order)[segment(shuffled)[place]]
        assert torch.equal(classes, segment(explanation)[image])
        names = {tag.text for tag in tags(explanation, top=4)[image]}
        assert {tag.text for tag in tags(shuffled, top=4)[place]} == names


@pytest.mark.parametrize("task", [t for t in TASKS if t != "presence"])
def test_a_text_on_its_own_is_the_same_as_among_others(task):
    scores, framing = CASES["smooth"]
    explanation = explained(scores, framing=framing)
    for index, text in enumerate(explanation.texts):
        assert same(TASKS[task](explanation.only(text))[0][0], TASKS[task](explanation)[0][index])


def test_the_presence_filter_leaves_texts_out_and_others_as_they_are():
    scores, framing = CASES["smooth"]
    ratios = torch.full((1, 2, 9), 9.0)
    ratios[..., 3] = -9.0
    explanation = explained(scores, framing=framing, reference_log_ratios=ratios)
    for task in (points, boxes):
        filtered, whole = task(explanation, min_presence=0.5)[0], task(explanation)[0]
        assert len(filtered[3]) == 0 < len(whole[3])
        assert same(filtered[:3] + filtered[4:], whole[:3] + whole[4:])


def test_tiles_that_were_used_are_freed():
    scores, framing = CASES["smooth"]
    earlier = []
    for tile in heatmap_tiles(explained(scores, framing=framing), tile=2):
        earlier.append(weakref.ref(tile.maps))
        alive = [reference for reference in earlier if reference() is not None]
        assert len(alive) <= 2  # this tile, and the one that the loop variable held before it
    assert len(earlier) == 5


@settings(max_examples=150, deadline=None)
@given(
    grid=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    size=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    framing=st.sampled_from(["squash", "letterbox"]),
    count=st.integers(1, 6),
    seed=st.integers(0, 999),
)
def test_ranges_and_argmax_are_those_of_resized_maps_of_any_size(grid, size, framing, count, seed):
    framing = getattr(Framing, framing)(Size(*size), frame=Size(16 * grid[0], 16 * grid[1]))
    scores = random_scores(count, *grid, seed=seed)
    resize = MapResize.of(framing, Size(*grid))
    full = framing.restore_map(scores)
    torch.testing.assert_close(resize(scores), full, atol=1e-5, rtol=0)
    low, high = resize.range_of(scores)
    torch.testing.assert_close(low[:, 0, 0], full.amin((1, 2)), atol=1e-5, rtol=0)
    torch.testing.assert_close(high[:, 0, 0], full.amax((1, 2)), atol=1e-5, rtol=0)
    number, value = argmax_of_resized(scores, resize, with_value=True)
    torch.testing.assert_close(value, full.amax(0), atol=1e-5, rtol=0)
    won = full.gather(0, number[None].long())[0]
    torch.testing.assert_close(won, full.amax(0), atol=1e-5, rtol=0)
