import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.explanation import Explanation
from clip_surgery.framing import Framing, Size
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.peaks import peaks

SQUASH = Framing.squash(Size(40, 60), frame=Size(64, 64))


def explained(*scores, framing=SQUASH):
    framings = framing if isinstance(framing, tuple) else (framing,) * len(scores)
    texts = tuple(f"text {index}" for index in range(scores[0].shape[0]))
    return Explanation(
        patch_scores=scores,
        similarity=None,
        image_scores=torch.zeros(len(scores), len(texts)),
        texts=texts,
        framings=framings,
        images=tuple(f"{index}.jpg" for index in range(len(scores))),
        method="test",
        backbone="test",
    )


def random_scores(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def resized(maps, size):
    return F.interpolate(maps[None], size=list(size), mode="bilinear", align_corners=False)[0]


def minmax(maps, dims):
    low, high = maps.amin(dims, keepdim=True), maps.amax(dims, keepdim=True)
    return (maps - low) / (high - low)


def test_each_image_at_its_own_size():
    framings = (
        Framing.keep_ratio(Size(33, 100), short_side=32, multiple_of=16),
        Framing.letterbox(Size(70, 20), frame=Size(64, 64)),
    )
    scores = (random_scores(3, 2, 6), random_scores(3, 4, 4))
    maps = heatmaps(explained(*scores, framing=framings))
    assert [tuple(m.shape) for m in maps] == [(3, 33, 100), (3, 70, 20)]
    assert all(m.dtype == torch.float32 for m in maps)


def test_contrast_per_text_is_the_papers_formula():
    scores = random_scores(3, 4, 4)
    expected = minmax(resized(scores, (40, 60)), (1, 2))
    torch.testing.assert_close(heatmaps(explained(scores))[0], expected)


def test_reference_order_scales_before_it_resizes():
    scores = random_scores(3, 4, 4)
    expected = resized(minmax(scores, (1, 2)), (40, 60))
    maps = heatmaps(explained(scores), order="scale then resize")[0]
    torch.testing.assert_close(maps, expected)


def test_contrast_per_image_keeps_texts_comparable():
    scores = random_scores(3, 4, 4) * torch.tensor([1.0, 0.1, 0.01]).view(3, 1, 1)
    maps = heatmaps(explained(scores), contrast="image")[0]
    torch.testing.assert_close(maps, minmax(resized(scores, (40, 60)), (0, 1, 2)))
    spans = maps.amax((1, 2)) - maps.amin((1, 2))
    assert spans[0] > spans[1] > spans[2]


def test_no_contrast_leaves_raw_scores():
    scores = random_scores(2, 4, 4) * 7
    maps = heatmaps(explained(scores), contrast="none")[0]
    torch.testing.assert_close(maps, resized(scores, (40, 60)))


@pytest.mark.parametrize("order", ["resize then scale", "scale then resize"])
@pytest.mark.parametrize("contrast", ["text", "image"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_scaled_maps_lie_between_zero_and_one(order, contrast, dtype):
    scores = random_scores(2, 5, 7).to(dtype)
    maps = heatmaps(explained(scores), contrast=contrast, order=order)[0]
    assert maps.amin() >= 0
    assert maps.amax() <= 1


@pytest.mark.parametrize("mode", ["squash", "letterbox"])
@pytest.mark.parametrize("order", ["resize then scale", "scale then resize"])
@pytest.mark.parametrize("contrast", ["text", "image"])
@pytest.mark.parametrize("value", [0.0, 0.3, -1e3, 1 / 3])
def test_a_flat_map_is_zeros(mode, order, contrast, value):
    framing = getattr(Framing, mode)(Size(37, 91), frame=Size(64, 64))
    scores = torch.full((2, 4, 4), value)
    maps = heatmaps(explained(scores, framing=framing), contrast=contrast, order=order)[0]
    assert torch.equal(maps, torch.zeros(2, 37, 91))


def test_a_flat_map_beside_another():
    scores = torch.stack([torch.full((4, 4), 0.25), random_scores(4, 4)])
    flat, other = heatmaps(explained(scores))[0]
    assert flat.count_nonzero() == 0
    assert other.amax() == 1


def test_letterbox_margins_do_not_influence_the_range():
    framing = Framing.letterbox(Size(32, 64), frame=Size(64, 64))  # content is rows 16 to 48
    scores = torch.tensor([[9.0] * 4, [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0], [-9.0] * 4])[None]
    maps = heatmaps(explained(scores, framing=framing))[0]
    middle = maps[0, 16]
    assert (middle.diff() >= 0).all()
    assert maps.amax() == 1
    assert peaks(explained(scores, framing=framing))[0][0].score == 4


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("task", [heatmaps, peaks])
def test_scores_that_are_not_finite_are_refused(bad, task):
    scores = random_scores(2, 4, 4)
    scores[1, 2, 3] = bad
    with pytest.raises(InputError, match=r"^0\.jpg: expected finite scores for 'text 1'"):
        task(explained(scores))


def test_unknown_settings():
    with pytest.raises(UnknownNameError, match=r"Unknown contrast 'texts'\. Did you mean 'text'"):
        heatmaps(explained(random_scores(1, 2, 2)), contrast="texts")
    with pytest.raises(UnknownNameError, match="Unknown order 'paper'"):
        heatmaps(explained(random_scores(1, 2, 2)), order="paper")


def test_a_saved_explanation_gives_the_same_maps(tmp_path):
    framings = (SQUASH, Framing.letterbox(Size(70, 20), frame=Size(64, 48)))
    explanation = explained(random_scores(2, 4, 4), random_scores(2, 4, 3), framing=framings)
    explanation.save(tmp_path / "e.safetensors")
    loaded = Explanation.load(tmp_path / "e.safetensors")
    for one, other in zip(heatmaps(explanation), heatmaps(loaded), strict=True):
        assert torch.equal(one, other)
    assert peaks(explanation) == peaks(loaded)


def test_scores_are_not_changed_and_no_gradient_is_kept():
    scores = random_scores(2, 4, 4).requires_grad_()
    before = scores.detach().clone()
    assert not heatmaps(explained(scores))[0].requires_grad
    assert torch.equal(scores.detach(), before)


def test_one_patch():
    assert heatmaps(explained(torch.ones(1, 1, 1)))[0].count_nonzero() == 0
    assert peaks(explained(torch.ones(1, 1, 1))) == [[None]]


def test_no_image():
    explanation = explained(random_scores(1, 2, 2))
    empty = Explanation(
        patch_scores=(),
        similarity=None,
        image_scores=torch.zeros(0, 1),
        texts=explanation.texts,
        framings=(),
        images=(),
        method="test",
        backbone="test",
    )
    assert heatmaps(empty) == []
    assert peaks(empty) == []


def test_peak_is_the_centre_of_the_best_patch_in_pixels_of_the_image():
    scores = torch.zeros(2, 4, 4)
    scores[0, 1, 3] = 0.5
    scores[1] = 0.1
    peak, flat = peaks(explained(scores))[0]
    assert (peak.x, peak.y) == pytest.approx((60 * 3.5 / 4, 40 * 1.5 / 4))
    assert peak.score == 0.5
    assert flat is None


def test_peak_in_a_letterbox_lies_on_the_content():
    framing = Framing.letterbox(Size(100, 200), frame=Size(64, 64))
    scores = torch.zeros(1, 4, 4)
    scores[0, 0, 0] = 9.0  # in the margin
    scores[0, 1, 0] = 1.0
    [[peak]] = peaks(explained(scores, framing=framing))
    assert (peak.x, peak.y) == pytest.approx((25, 25))
