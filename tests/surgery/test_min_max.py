"""The definition of flat maps, in each function that scales maps."""

import pytest
import torch

from clip_surgery.framing import Framing, Size
from clip_surgery.surgery.min_max import is_flat, min_max
from clip_surgery.tasks.heatmaps import heatmaps
from clip_surgery.tasks.peaks import peaks
from clip_surgery.tasks.points import points
from clip_surgery.tasks.segmentation import segment
from tests.explanations import explained, random_scores


def rounding_noise():
    """A constant map (1, 8, 8) with rounding noise as resizing produces it."""
    return 0.25 + 1e-8 * random_scores(1, 8, 8).sign() * 2


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_min_max_reaches_zero_and_one_at_every_scale(scale):
    scaled = min_max(scale * random_scores(3, 5, 7))
    assert scaled.amin((1, 2)).tolist() == [0, 0, 0]
    assert scaled.amax((1, 2)).tolist() == pytest.approx([1, 1, 1])


def test_a_constant_map_is_flat_and_becomes_zeros():
    assert bool(is_flat(torch.tensor(-2.0), torch.tensor(-2.0)))
    assert min_max(torch.full((2, 3, 3), -2.0)).count_nonzero() == 0


def test_every_task_treats_rounding_noise_as_a_flat_map():
    size = Size(40, 60)
    explanation = explained(
        rounding_noise(), framing=Framing.squash(size, frame=Size(64, 64)), similarity=True
    )
    assert heatmaps(explanation)[0].count_nonzero() == 0
    assert peaks(explanation) == [[None]]
    assert len(points(explanation, "text 0")[0][0]) == 0
    assert segment(explanation, background="threshold", threshold=0.5)[0].unique().tolist() == [-1]
