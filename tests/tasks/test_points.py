import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.framing import Framing, Size
from clip_surgery.tasks.point_rules import PeakPoints, ReferencePoints
from clip_surgery.tasks.points import Points, points
from tests.explanations import explained, random_scores

SQUARE = Framing.squash(Size(448, 448), frame=Size(224, 224))


def naive_reference(scores, size, threshold=0.8):
    """The published rule, cell by cell, on one square map (side, side)."""
    side = scores.shape[0] // 2
    small = F.interpolate(scores[None, None], (side, side), mode="bilinear")[0, 0]
    small = (small - small.min()) / (small.max() - small.min())
    cells = [
        (float(small[row, column]), row, column) for row in range(side) for column in range(side)
    ]
    count = min(sum(value >= threshold for value, _, _ in cells), side * side // 2)
    cells.sort(key=lambda cell: cell[0])
    scale = size / side

    def centre(cell):
        return [min((cell[2] + 0.5) * scale, size - 1), min((cell[1] + 0.5) * scale, size - 1)]

    return [centre(cell) for cell in cells[::-1][:count]], [centre(cell) for cell in cells[:count]]


@pytest.mark.parametrize("side", [2, 4, 7, 14, 24])
def test_reference_is_the_published_rule_on_square_grids(side):
    scores = random_scores(3, side, side, seed=side)
    explanation = explained(scores, framing=SQUARE)
    for index, text in enumerate(explanation.texts):
        positive, negative = naive_reference(scores[index], 448)
        [[found]] = points(explanation, text)
        np.testing.assert_allclose(found.positives, np.reshape(positive, (-1, 2)), rtol=1e-5)
        np.testing.assert_allclose(found.negatives, np.reshape(negative, (-1, 2)), rtol=1e-5)


def test_several_texts_give_positives_each_and_negatives_of_the_mean():
    scores = random_scores(3, 14, 14)
    explanation = explained(scores, framing=SQUARE)
    [[found]] = points(explanation, ["text 2", "text 0"], union=True)
    halved = F.interpolate(scores[None], (7, 7), mode="bilinear")[0]
    levels = [(m - m.min()) / (m.max() - m.min()) for m in (halved[2], halved[0])]
    singles = [points(explanation, text)[0][0] for text in ("text 2", "text 0")]
    np.testing.assert_array_equal(found.positives, np.concatenate([s.positives for s in singles]))
    mean = torch.stack(levels).mean(0)
    mean = (mean - mean.min()) / (mean.max() - mean.min())
    count = min(int((mean >= 0.8).sum()), 24)
    lowest = mean.flatten().argsort(descending=True, stable=True).flip(0)[:count]
    expected = [[(int(i) % 7 + 0.5) * 64, (int(i) // 7 + 0.5) * 64] for i in lowest]
    np.testing.assert_allclose(found.negatives, np.reshape(expected, (-1, 2)))


def test_arrays_are_what_sam_predictor_takes():
    [[found]] = points(explained(random_scores(1, 8, 8)), "text 0")
    assert found.xy.dtype == np.float32
    assert found.labels.dtype == np.int64
    assert len(found) == len(found.positives) + len(found.negatives) > 0
    assert list(found.labels) == sorted(found.labels, reverse=True)


modes = st.sampled_from(
    ["reference", "peaks", ReferencePoints(threshold=0.3), PeakPoints(positives=9, negatives=9)]
)
sides = st.integers(1, 9)
lengths = st.integers(1, 300)


@settings(max_examples=150, deadline=None)
@given(
    mode=modes, grid=st.tuples(sides, sides), size=st.tuples(lengths, lengths),
    framing=st.sampled_from(["squash", "letterbox"]), seed=st.integers(0, 99),
    kind=st.sampled_from(["random", "flat", "steps"]),
)  # fmt: skip
def test_points_lie_in_the_image_whatever_its_shape(mode, grid, size, framing, seed, kind):
    frame = Size(16 * grid[0], 16 * grid[1])
    framing = getattr(Framing, framing)(Size(*size), frame=frame)
    scores = random_scores(2, *grid, seed=seed)
    scores = {"random": scores, "flat": scores * 0 + 0.3, "steps": scores.round()}[kind]
    explanation = explained(scores, framing=framing)
    for texts in ("text 0", [["text 0", "text 1"]]):
        [[found]] = points(explanation, texts, rule=mode)
        assert (found.xy >= 0).all()
        assert (found.xy[:, 0] <= size[1] - 1).all()
        assert (found.xy[:, 1] <= size[0] - 1).all()
        assert len(found.xy) == len(found.labels)
        if kind == "flat":
            assert len(found) == 0


@pytest.mark.parametrize("mode", ["reference", "peaks"])
def test_margins_yield_no_point(mode):
    framing = Framing.letterbox(Size(32, 64), frame=Size(64, 64))  # content is rows 4 to 12
    scores = torch.full((1, 16, 16), 9.0)
    scores[:, 4:12] = random_scores(1, 8, 16)
    [[found]] = points(explained(scores, framing=framing), "text 0", rule=mode)
    assert 0 < len(found.positives) < 9
    # a cell of the margin would be clipped to the rim
    assert ((found.xy[:, 1] > 0) & (found.xy[:, 1] < 31)).all()


def test_a_peak_is_found_where_it_is():
    scores = torch.zeros(1, 20, 20)
    scores[0, 3:6, 5:8], scores[0, 4, 6] = 0.5, 1.0
    scores[0, 14:17, 14:17], scores[0, 15, 15] = 0.5, 0.98
    [[found]] = points(
        explained(scores, framing=Framing.squash(Size(200, 400), frame=Size(320, 320))),
        "text 0",
        rule="peaks",
    )
    np.testing.assert_allclose(found.positives, [[130, 45], [310, 155]])
    assert len(found.negatives) == 3
    gaps = np.linalg.norm(found.negatives[:, None] - found.negatives[None], axis=-1)
    assert gaps[np.triu_indices(3, 1)].min() > 100


def test_peaks_are_kept_apart():
    scores = random_scores(1, 16, 16)
    framing = Framing.squash(Size(160, 160), frame=Size(256, 256))
    rule = PeakPoints(positives=50, threshold=0.01, spacing=5, smoothing=0)
    [[found]] = points(explained(scores, framing=framing), "text 0", rule=rule)
    gaps = np.linalg.norm(found.positives[:, None] - found.positives[None], axis=-1)
    assert len(found.positives) > 2
    assert gaps[np.triu_indices(len(found.positives), 1)].min() >= 50


def test_absent_texts_yield_no_point():
    reference_log_ratios = torch.tensor([[[9.0, -9.0], [9.0, -9.0]]])
    explanation = explained(random_scores(2, 8, 8), reference_log_ratios=reference_log_ratios)
    assert len(points(explanation, "text 0", min_presence=0.5)[0][0]) > 0
    assert len(points(explanation, "text 1", min_presence=0.5)[0][0]) == 0
    [[both]] = points(explanation, "text 0,text 1", min_presence=0.5)
    np.testing.assert_array_equal(both.xy, points(explanation, "text 0")[0][0].xy)


def test_a_flat_map_beside_others_yields_no_point():
    explanation = explained(random_scores(1, 8, 8), torch.zeros(1, 4, 4), random_scores(1, 3, 9))
    assert [len(found) > 0 for [found] in points(explanation, "text 0")] == [True, False, True]


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"texts": []}, "at least one text"),
        ({"texts": "texd 0"}, r"Did you mean 'text 0'"),
        ({"texts": "text 0", "rule": "peak"}, r"Did you mean 'peaks'"),
        ({"texts": "text 0", "min_presence": 0.5}, "vocabulary='small'"),
    ],
)
def test_bad_calls(call, reason):
    with pytest.raises(InputError, match=reason):
        points(explained(random_scores(1, 4, 4)), **call)


@pytest.mark.parametrize("min_presence", [-0.1, 1.1, float("nan")])
def test_min_presence_out_of_range(min_presence):
    explanation = explained(random_scores(1, 4, 4), reference_log_ratios=torch.zeros(1, 2, 1))
    with pytest.raises(InputError, match="min_presence"):
        points(explanation, "text 0", min_presence=min_presence)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="finite"):
        points(explained(torch.full((1, 4, 4), float("nan"))), "text 0")


@pytest.mark.parametrize(
    ("rule", "settings"),
    [
        (ReferencePoints, {"threshold": 0}),
        (ReferencePoints, {"threshold": 1.5}),
        (PeakPoints, {"threshold": float("nan")}),
        (PeakPoints, {"positives": -1}),
        (PeakPoints, {"negatives": -1}),
        (PeakPoints, {"smoothing": -1}),
        (PeakPoints, {"spacing": 0.5}),
        (PeakPoints, {"highest_negative": 2}),
    ],
)
def test_bad_rules(rule, settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        rule(**settings)


@pytest.mark.parametrize(
    ("xy", "labels"),
    [
        (np.zeros((2, 3), np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 2), np.float32), np.zeros(3, np.int64)),
        (np.zeros((1, 2), np.float32), np.full(1, 2)),
    ],
)
def test_points_that_do_not_belong_together(xy, labels):
    with pytest.raises(InputError):
        Points(xy=xy, labels=labels)


def test_unknown_mode_is_an_unknown_name():
    with pytest.raises(UnknownNameError):
        points(explained(random_scores(1, 4, 4)), "text 0", rule="best")
