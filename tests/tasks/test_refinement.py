"""Refinement of explanations and segmentations, and names that are not in the image."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.framing import Framing, Size
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import read_image, to_pixels
from clip_surgery.refinement.guided_filter import GuidedRefinement
from clip_surgery.refinement.laplacian import LaplacianRefinement
from clip_surgery.tasks.refinement import framing_of_cells, refine
from clip_surgery.tasks.segmentation import segment
from clip_surgery.text.features import TextFeatures
from tests.explanations import explained, random_scores

TEXTS = ("person", "man", "sky", "grass")
SMALL = GuidedRefinement(cells=20, radius=2)
SMALL_GRID = PatchGrid(rows=20, columns=20)


def image(height=40, width=60, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def example(**settings):
    return explained(random_scores(4, 5, 7), texts=TEXTS, similarity=True, **settings)


def test_an_explanation_is_refined_on_the_cells_of_its_frame():
    refined = refine(example(), image(), SMALL)
    [maps] = refined.similarity
    assert maps.shape == (4, 20, 20)  # the frame of this explanation is square
    coarse = F.interpolate(example().similarity[0][None], (20, 20), mode="bilinear")
    framing = Framing.squash(Size(40, 60), frame=Size(20, 20))
    colours = to_pixels(framing.apply(read_image(image()).image))
    torch.testing.assert_close(maps, SMALL(coarse, colours[None])[0])
    assert torch.equal(refined.patch_scores[0], example().patch_scores[0])


def test_texts_are_compared_if_their_features_are_known():
    generator = torch.Generator().manual_seed(0)
    labels = torch.randn(4, 8, generator=generator)
    features = TextFeatures(texts=TEXTS, labels=labels, empty=labels[0])
    rule = LaplacianRefinement(cells=12, logit_scale=5.0)
    with_texts = refine(example(), image(), rule, text_features=features)
    without = refine(example(), image(), rule)
    assert not torch.allclose(with_texts.similarity[0], without.similarity[0])
    other = TextFeatures(texts=TEXTS[::-1], labels=labels, empty=labels[0])
    with pytest.raises(InputError, match="explanation's texts"):
        refine(example(), image(), rule, text_features=other)


def test_segmentation_of_refined_maps_and_letterboxed_images():
    framing = Framing.letterbox(Size(40, 60), frame=Size(64, 64))
    explanation = example(framing=framing)
    expected = segment(refine(explanation, image(), SMALL))
    found = segment(explanation, refine=SMALL, images=image())
    assert torch.equal(found[0], expected[0])
    assert not torch.equal(found[0], segment(explanation)[0])
    content = framing_of_cells(framing, SMALL_GRID)
    assert (content.frame, content.content) == ((20, 20), (13, 20))


def test_none_returns_the_explanation():
    explanation = example()
    assert refine(explanation, [], "none") is explanation


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: refine(example(), [], "guided"), InputError, "the 1 images"),
        (lambda: refine(example(), image(41), "guided"), InputError, r"0\.jpg: expected an image"),
        (lambda: refine(example(), image(), "guidd"), UnknownNameError, "guided"),
        (
            lambda: refine(explained(random_scores(2, 3, 3)), image()),
            InputError,
            "test has none",
        ),
        (
            lambda: refine(
                explained(torch.full((2, 3, 3), float("nan")), similarity=True), image()
            ),
            InputError,
            r"0\.jpg: expected finite",
        ),
        (lambda: segment(example(), refine="guided"), InputError, "images"),
        (lambda: segment(example(), min_presence=0.5), InputError, "vocabulary"),
        (lambda: segment(with_presence(), min_presence=2.0), InputError, "min_presence"),
    ],
)
def test_bad_calls(call, error, message):
    with pytest.raises(error, match=message):
        call()


def with_presence():
    """Two images; "sky" is in the first alone, "grass" in none."""
    ratios = torch.tensor([[6.0, 6.0, 6.0, -9.0], [6.0, 6.0, -9.0, -9.0]])[:, None].repeat(1, 2, 1)
    return explained(
        random_scores(4, 5, 7),
        random_scores(4, 5, 7, seed=1),
        texts=TEXTS,
        similarity=True,
        reference_log_ratios=ratios,
    )


def test_absent_names_win_no_pixel():
    explanation = with_presence()
    first, second = segment(explanation, min_presence=0.5)
    assert torch.equal(first, segment(explanation, ["person", "man", "sky"])[0])
    assert torch.equal(second, segment(explanation, ["person", "man"])[1])
    assert torch.equal(segment(explanation, min_presence=0.0)[0], segment(explanation)[0])


def test_where_no_name_is_left_there_is_no_class_and_words_still_win():
    explanation = with_presence()
    assert segment(explanation, ["grass"], min_presence=0.5)[0].unique().tolist() == [-1]
    found = segment(
        explanation,
        ["grass"],
        min_presence=0.5,
        background="words",
        background_words=["sky"],
    )
    assert tuple(found[0].shape) == (40, 60)
    assert found[0].unique().tolist() == [-1]
