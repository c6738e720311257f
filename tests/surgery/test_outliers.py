"""Detection and replacement of outlier tokens, with edge cases."""

import pytest
import torch

from clip_surgery.backbones.loading import wrap_backbone
from clip_surgery.errors import UnsupportedModelError
from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.outliers import fill_outliers, find_outliers
from clip_surgery.surgery.walk import walk_two_paths
from tests.surgery.test_attention import heads
from tests.towers import tiny_open_clip

GRID = PatchGrid(rows=3, columns=4)


def marked(*indices):
    outliers = torch.zeros(1, GRID.patches, dtype=torch.bool)
    outliers[0, list(indices)] = True
    return outliers


@pytest.mark.parametrize(
    ("outlier", "neighbours"),
    [(5, [0, 1, 2, 4, 6, 8, 9, 10]), (0, [1, 4, 5]), (3, [2, 6, 7]), (7, [2, 3, 6, 10, 11])],
)
def test_an_outlier_becomes_the_mean_of_its_neighbours(outlier, neighbours):
    patches = torch.randn(1, GRID.patches, 6)
    filled = fill_outliers(patches, marked(outlier), GRID)
    torch.testing.assert_close(filled[0, outlier], patches[0, neighbours].mean(dim=0))
    others = [index for index in range(GRID.patches) if index != outlier]
    assert torch.equal(filled[:, others], patches[:, others])


def test_outliers_side_by_side_do_not_fill_each_other():
    patches = torch.randn(1, GRID.patches, 6)
    filled = fill_outliers(patches, marked(0, 1, 4), GRID)
    torch.testing.assert_close(filled[0, 0], patches[0, 5])


def test_an_outlier_among_outliers_is_unchanged():
    patches = torch.randn(1, GRID.patches, 6)
    assert torch.equal(fill_outliers(patches, marked(*range(GRID.patches)), GRID), patches)
    alone = torch.randn(2, 1, 6)
    one = PatchGrid(rows=1, columns=1)
    assert torch.equal(fill_outliers(alone, torch.ones(2, 1, dtype=torch.bool), one), alone)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_dtype_is_kept(dtype):
    patches = torch.randn(1, GRID.patches, 6).to(dtype)
    assert fill_outliers(patches, marked(2), GRID).dtype == dtype


def test_an_outlier_receives_more_attention_from_the_class_token_than_from_patches():
    """The key of one patch matches the query of the class token only."""
    given = heads(batch=1, grid=GRID)
    given.query.fill_(-1.0)
    given.query[:, :, 0] = 1.0
    given.key.zero_()
    given.key[:, :, 1 + 7] = 3.0
    assert torch.equal(find_outliers(given), marked(7))


@pytest.mark.parametrize(
    ("visual", "message"),
    [({"pool_type": "avg"}, "no class token"), ({"layers": 1}, "second-last block")],
)
def test_towers_without_class_token_or_second_block_are_refused(visual, message):
    tower = wrap_backbone(tiny_open_clip(visual=visual)).tower
    with pytest.raises(UnsupportedModelError, match=message):
        walk_two_paths(tower, torch.zeros(1, 3, 32, 32), repair_outliers=True)
