"""Outliers by the diagonal of attention, compared with loops."""

import pytest

from clip_surgery.grid import PatchGrid
from clip_surgery.surgery.diagonal_outliers import find_class_favourites
from tests.surgery.test_attention import heads

GRID = PatchGrid(rows=4, columns=5)


def plain_outliers(given, image, gain, limit):
    attention = (
        sum(
            (given.scale * given.query[image, h] @ given.key[image, h].T).softmax(dim=-1)
            for h in range(3)
        )
        / 3
    )
    candidates = []
    for i in range(GRID.patches):
        from_class, own = float(attention[0, 1 + i]), float(attention[1 + i, 1 + i])
        if gain * from_class > own:
            candidates.append((from_class, i))
    return sorted(i for _, i in sorted(candidates, reverse=True)[:limit])


@pytest.mark.parametrize("limit", [0, 3, 10, 100])
@pytest.mark.parametrize("gain", [0.5, 1.5])
def test_outliers_equal_loops_for_every_image_of_a_batch(gain, limit):
    given = heads(grid=GRID)
    outliers = find_class_favourites(given, gain=gain, limit=limit)
    found = 0
    for image in range(2):
        expected = plain_outliers(given, image, gain, limit)
        assert outliers[image].nonzero().flatten().tolist() == expected
        found += len(expected)
    assert (found > 0) == (limit > 0)


def test_no_class_gain_gives_no_outlier():
    assert not find_class_favourites(heads(grid=GRID), gain=0.0).any()


def test_one_patch_has_an_answer():
    given = heads(grid=PatchGrid(rows=1, columns=1))
    assert find_class_favourites(given).shape == (2, 1)
