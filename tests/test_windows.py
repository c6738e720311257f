import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import clip_surgery as cs
from clip_surgery.errors import InputError
from clip_surgery.surgery.window_layout import window_starts
from clip_surgery.windows import Windows, explain_windows
from tests.towers import tiny_open_clip

TEXTS = ["cat", "bench"]


@pytest.fixture(scope="module")
def explainer():
    return cs.wrap(
        tiny_open_clip(), templates="photo", cache=False, batch_size=3, vocabulary=["cup", "tree"]
    )


def pixels(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 60), side=st.integers(1, 20), step=st.integers(1, 20))
def test_windows_cover_the_line(length, side, step):
    step, side = min(step, side), min(side, length)
    starts = window_starts(length, side, step)
    assert starts == sorted(set(starts))
    assert starts[0] == 0
    assert starts[-1] + side == length
    assert all(b - a <= step for a, b in itertools.pairwise(starts))


def test_one_window_equals_the_explanation_of_the_image(explainer):
    image = pixels(32, 32)
    whole, plain = explain_windows(explainer, image, TEXTS), explainer(image, TEXTS)
    for name in ("patch_scores", "similarity"):
        torch.testing.assert_close(getattr(whole, name)[0], getattr(plain, name)[0])
    torch.testing.assert_close(whole.image_scores, plain.image_scores)
    torch.testing.assert_close(whole.reference_log_ratios, plain.reference_log_ratios)


def test_windows_without_overlap_are_concatenated(explainer):
    image = pixels(32, 64)
    whole = explain_windows(explainer, image, TEXTS, windows=Windows(crop=32, stride=32))
    halves = [explainer(image[:, :32].copy(), TEXTS), explainer(image[:, 32:].copy(), TEXTS)]
    expected = torch.cat([half.patch_scores[0] for half in halves], dim=-1)
    torch.testing.assert_close(whole.patch_scores[0], expected)
    highest = torch.maximum(halves[0].image_scores, halves[1].image_scores)
    torch.testing.assert_close(whole.image_scores, highest)


def test_overlapping_windows_equal_a_loop(explainer):
    image = pixels(40, 56)  # 5 x 7 patches of 8 px; windows of 4 x 4, 2 apart
    whole = explain_windows(explainer, image, TEXTS, windows=Windows(crop=32, stride=16))
    weight = torch.tensor([0.5, 1.0, 1.0, 0.5])
    weight = weight[:, None] * weight
    total, weights = torch.zeros(2, 5, 7), torch.zeros(5, 7)
    for top in (0, 1):
        for left in (0, 2, 3):
            crop = image[8 * top : 8 * top + 32, 8 * left : 8 * left + 32].copy()
            maps = explainer(crop, TEXTS).patch_scores[0]
            total[:, top : top + 4, left : left + 4] += weight * maps
            weights[top : top + 4, left : left + 4] += weight
    torch.testing.assert_close(whole.patch_scores[0], total / weights)
    assert whole.framings[0].original == (40, 56)
    assert "windows of 32 px, 16 px apart" in whole.method


@pytest.mark.parametrize("size", [(1, 1), (9, 200), (200, 9), (33, 47)])
def test_images_of_any_size(explainer, size):
    whole = explain_windows(explainer, pixels(*size), TEXTS)
    [heatmap] = cs.heatmaps(whole)
    assert tuple(heatmap.shape) == (2, *size)
    assert whole.patch_scores[0].isfinite().all()
    [classes] = cs.segment(whole)
    assert tuple(classes.shape) == size


def test_size_resizes_the_image_first(explainer):
    whole = explain_windows(explainer, pixels(40, 80), TEXTS, windows=Windows(size=64))
    assert whole.patch_scores[0].shape == (2, 8, 16)


def test_a_method_without_similarity_and_encoded_texts(explainer):
    texts = explainer.encode(TEXTS)
    whole = explain_windows(explainer.with_method("reversed"), pixels(40, 40), texts)
    assert whole.similarity is None
    assert whole.reference_log_ratios is not None


@pytest.mark.parametrize(
    "change", [{"size": 0}, {"crop": 0}, {"stride": -1}, {"crop": 32, "stride": 33}]
)
def test_invalid_windows_are_refused(change):
    with pytest.raises(InputError, match=str(list(change.values())[-1])):
        Windows(**change)


@pytest.mark.parametrize("stitch", ["outputs", "values"])
def test_stitched_windows(explainer, stitch):
    image = pixels(40, 56)
    naclip = explainer.with_method("naclip")
    windows = Windows(crop=32, stride=16, stitch=stitch)
    whole = explain_windows(naclip, image, TEXTS, windows=windows)
    assert whole.patch_scores[0].shape == (2, 5, 7)
    assert whole.patch_scores[0].isfinite().all()
    assert whole.image_scores.shape == (1, 2)
    assert whole.reference_log_ratios.shape == (1, 2, 2)
    assert f"{stitch} stitched" in whole.method
    plain = explain_windows(naclip, image, TEXTS, windows=Windows(crop=32, stride=16))
    assert not torch.allclose(whole.patch_scores[0], plain.patch_scores[0])
    one = explain_windows(naclip, pixels(32, 32), TEXTS, windows=Windows(stitch=stitch))
    torch.testing.assert_close(one.patch_scores[0], naclip(pixels(32, 32), TEXTS).patch_scores[0])


def test_an_image_of_stitched_outputs_is_refined_as_a_whole(explainer):
    refined = explainer.with_method("naclip(refine=guided)")
    windows = Windows(crop=32, stride=16, stitch="outputs")
    whole = explain_windows(refined, pixels(40, 56), TEXTS, windows=windows)
    assert whole.similarity[0].shape == (2, 95, 133)
    assert whole.patch_scores[0].shape == (2, 5, 7)


def test_windows_of_equal_weight(explainer):
    image = pixels(32, 48)
    settings = {"crop": 32, "stride": 16, "weighting": "equal"}
    whole = explain_windows(explainer, image, TEXTS, windows=Windows(**settings))
    first, second = (
        explainer(image[:, left : left + 32].copy(), TEXTS).patch_scores[0] for left in (0, 16)
    )
    expected = torch.cat(
        [first[..., :2], (first[..., 2:] + second[..., :2]) / 2, second[..., 2:]], dim=-1
    )
    torch.testing.assert_close(whole.patch_scores[0], expected)


@pytest.mark.parametrize(
    ("method", "stitch", "message"),
    [
        ("sc_clip", "values", "sc_clip reads blocks"),
        ("naclip(repair_outliers=yes)", "values", "repair_outliers"),
        ("free_cp", "outputs", "logits"),
        ("grad_eclip", "outputs", "grad_eclip"),
    ],
)
def test_methods_whose_windows_cannot_be_stitched(explainer, method, stitch, message):
    with pytest.raises(InputError, match=message):
        explain_windows(
            explainer.with_method(method), pixels(40, 40), TEXTS, windows=Windows(stitch=stitch)
        )


def test_unknown_kinds_of_windows_are_refused():
    with pytest.raises(InputError, match="outputs"):
        Windows(stitch="output")
    with pytest.raises(InputError, match="equal"):
        Windows(weighting="mean")
