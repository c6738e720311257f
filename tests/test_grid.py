import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from clip_surgery.errors import InputError
from clip_surgery.grid import PatchGrid

sides = st.integers(1, 12)


@given(rows=sides, columns=sides, leading=st.lists(st.integers(0, 3), max_size=2))
def test_to_map_and_from_map_are_inverse(rows, columns, leading):
    grid = PatchGrid(rows=rows, columns=columns)
    values = torch.arange(torch.Size([*leading, grid.patches]).numel())
    values = values.reshape(*leading, grid.patches)
    maps = grid.to_map(values)
    assert maps.shape == (*leading, rows, columns)
    assert torch.equal(grid.from_map(maps), values)


def test_patches_are_in_row_major_order():
    grid = PatchGrid(rows=2, columns=3)
    assert grid.to_map(torch.arange(6)).tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(("rows", "columns"), [(0, 1), (1, 0), (-1, 2)])
def test_a_grid_has_at_least_one_patch(rows, columns):
    with pytest.raises(InputError, match="at least 1 x 1 patches"):
        PatchGrid(rows=rows, columns=columns)


def test_other_shapes_are_refused():
    grid = PatchGrid(rows=2, columns=3)
    with pytest.raises(InputError, match=r"Expected 6 patches .* shape \(4, 5\)"):
        grid.to_map(torch.zeros(4, 5))
    with pytest.raises(InputError, match=r"Expected maps of 2 x 3, but got shape \(3, 2\)"):
        grid.from_map(torch.zeros(3, 2))
