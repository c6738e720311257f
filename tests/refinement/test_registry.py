import pytest
import torch

from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.refinement.guided_filter import GuidedRefinement
from clip_surgery.refinement.laplacian import LaplacianRefinement
from clip_surgery.refinement.local_affinity import PamrRefinement
from clip_surgery.refinement.pixel_graph import PixelGraphRefinement
from clip_surgery.refinement.registry import REFINEMENTS, as_refinement, grid_of_cells


def test_names():
    assert list(REFINEMENTS) == ["laplacian", "guided", "pamr", "pixel graph"]
    assert as_refinement("none") is None
    for name, cls in REFINEMENTS.items():
        assert as_refinement(name) == cls()
    own = GuidedRefinement(radius=2)
    assert as_refinement(own) is own


@pytest.mark.parametrize("name", REFINEMENTS)
def test_every_refinement_keeps_the_shape_and_images_of_a_batch_apart(name):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 9, 7, generator=generator)
    colours = torch.rand(2, 3, 9, 7, generator=generator)
    texts = torch.randn(3, 5, generator=generator)
    refinement = as_refinement(name)
    refined = refinement(maps, colours, texts)
    assert refined.shape == maps.shape
    for image in range(2):
        alone = refinement(maps[image : image + 1], colours[image : image + 1], texts)
        torch.testing.assert_close(refined[image : image + 1], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: as_refinement("guide"), UnknownNameError, "guided"),
        (lambda: as_refinement(3), InputError, "3"),
        (lambda: as_refinement(GuidedRefinement), InputError, "GuidedRefinement"),
        (lambda: LaplacianRefinement(steps=-1), InputError, "steps"),
        (lambda: LaplacianRefinement(floor=0.0), InputError, "floor"),
        (lambda: LaplacianRefinement(variant="code"), UnknownNameError, "released"),
        (lambda: GuidedRefinement(regularisation=float("nan")), InputError, "regularisation"),
        (lambda: PamrRefinement(dilation=0), InputError, "dilation"),
        (lambda: PixelGraphRefinement(spread=1.0), InputError, "spread"),
        (lambda: PixelGraphRefinement(cells=0), InputError, "cells"),
    ],
)
def test_bad_settings_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_the_grid_of_cells_follows_the_aspect_ratio():
    grid = grid_of_cells(300, 400, 80)
    assert (grid.rows, grid.columns) == (69, 92)
    assert grid_of_cells(1, 10**6, 8).rows == 1
