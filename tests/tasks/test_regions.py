import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from clip_surgery.errors import InputError
from clip_surgery.tasks.regions import connected_regions


@settings(max_examples=200, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    density=st.floats(0, 1),
    seed=st.integers(0, 999),
)
def test_equals_scipy(shape, density, seed):
    mask = np.random.default_rng(seed).random(shape) < density
    ours = connected_regions(mask)
    theirs, count = ndimage.label(mask, structure=np.ones((3, 3)))
    assert int(ours.max(initial=0)) == count
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == count + bool((~mask).any())  # one to one
    firsts = [
        int(ours.ravel()[ours.ravel() == n].size and np.argmax(ours.ravel() == n))
        for n in range(1, count + 1)
    ]
    assert firsts == sorted(firsts)


def test_a_spiral_is_one_region():
    mask = np.array(
        [[1, 1, 1, 1, 1], [0, 0, 0, 0, 1], [1, 1, 1, 0, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 1]], bool
    )
    assert connected_regions(mask).max() == 1


@pytest.mark.parametrize("bad", [np.zeros((2, 2)), np.zeros(4, bool)])
def test_bad_masks(bad):
    with pytest.raises(InputError, match="mask"):
        connected_regions(bad)
