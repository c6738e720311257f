"""Interpolated position embeddings equal a plain implementation, and parameters are not changed."""

import pytest
import torch
from torch.nn import functional as F

from clip_surgery.backbones.positions import interpolate_positions
from clip_surgery.errors import InputError, UnknownNameError
from clip_surgery.grid import PatchGrid

NATIVE = PatchGrid(rows=4, columns=4)
GRIDS = [(4, 4), (4, 9), (9, 4), (2, 3), (1, 1), (8, 8), (1, 16)]


def naive_bilinear(patches, native, grid):
    """Half-pixel centres, clamped at the border, one value at a time: (P, E)."""
    out = torch.zeros(grid.patches, patches.shape[-1])
    for row in range(grid.rows):
        for column in range(grid.columns):
            y = min(max((row + 0.5) * native.rows / grid.rows - 0.5, 0), native.rows - 1)
            x = min(max((column + 0.5) * native.columns / grid.columns - 0.5, 0), 3)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, native.rows - 1), min(left + 1, native.columns - 1)
            for r, wr in ((top, 1 - (y - top)), (bottom, y - top)):
                for c, wc in ((left, 1 - (x - left)), (right, x - left)):
                    out[row * grid.columns + column] += wr * wc * patches[r * native.columns + c]
    return out


@pytest.mark.parametrize("size", GRIDS)
def test_bilinear_equals_a_plain_implementation(size):
    positions, grid = torch.randn(17, 6), PatchGrid(rows=size[0], columns=size[1])
    actual = interpolate_positions(positions, native=NATIVE, grid=grid)
    torch.testing.assert_close(actual[:1], positions[:1], rtol=0, atol=0)
    torch.testing.assert_close(actual[1:], naive_bilinear(positions[1:], NATIVE, grid))


@pytest.mark.parametrize("size", GRIDS)
def test_bicubic_is_antialiased(size):
    positions, grid = torch.randn(17, 6), PatchGrid(rows=size[0], columns=size[1])
    actual = interpolate_positions(positions, native=NATIVE, grid=grid, mode="bicubic")
    maps = positions[1:].T.reshape(1, 6, 4, 4).contiguous()
    expected = F.interpolate(maps, size=size, mode="bicubic", antialias=True)[0].flatten(1).T
    torch.testing.assert_close(actual[1:], expected)


def test_rows_and_columns_are_not_exchanged():
    """A map that changes only from row to row does so on a rectangle as well."""
    rows = torch.arange(4.0).repeat_interleave(4)[:, None]
    positions = torch.cat([torch.zeros(1, 1), rows])
    grid = PatchGrid(rows=4, columns=9)
    actual = interpolate_positions(positions, native=NATIVE, grid=grid)[1:, 0].view(4, 9)
    assert torch.equal(actual, torch.arange(4.0)[:, None].expand(4, 9))


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_native_grid_returns_the_embeddings_themselves(mode):
    positions = torch.randn(17, 6)
    assert interpolate_positions(positions, native=NATIVE, grid=NATIVE, mode=mode) is positions


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_the_parameter_is_not_changed(mode):
    parameter = torch.nn.Parameter(torch.randn(17, 6))
    before, version = parameter.detach().clone(), parameter._version
    grid = PatchGrid(rows=5, columns=7)
    actual = interpolate_positions(parameter, native=NATIVE, grid=grid, mode=mode)
    with torch.no_grad():
        actual.zero_()
    assert torch.equal(parameter, before)
    assert parameter._version == version


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_differentiable(mode):
    positions = torch.randn(17, 3, dtype=torch.float32, requires_grad=True)
    grid = PatchGrid(rows=3, columns=6)
    interpolate_positions(positions, native=NATIVE, grid=grid, mode=mode).sum().backward()
    assert positions.grad is not None
    # Each new patch is a weighted mean of old ones, so all weights add up to the number of patches.
    torch.testing.assert_close(positions.grad.sum(), torch.tensor(3.0 * (1 + grid.patches)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    positions, grid = torch.randn(17, 6).to(dtype), PatchGrid(rows=7, columns=5)
    actual = interpolate_positions(positions, native=NATIVE, grid=grid)
    expected = interpolate_positions(positions.float(), native=NATIVE, grid=grid)
    assert actual.dtype == dtype
    assert torch.equal(actual, expected.to(dtype))


def test_no_prefix_token_and_several():
    grid = PatchGrid(rows=2, columns=8)
    for prefix in (0, 1, 5):
        positions = torch.randn(prefix + 16, 3)
        actual = interpolate_positions(positions, native=NATIVE, grid=grid, prefix_tokens=prefix)
        assert actual.shape == (prefix + 16, 3)
        assert torch.equal(actual[:prefix], positions[:prefix])


def test_bad_input():
    with pytest.raises(UnknownNameError, match="Did you mean 'bicubic'"):
        interpolate_positions(torch.rand(17, 2), native=NATIVE, grid=NATIVE, mode="bicubik")
    with pytest.raises(InputError, match=r"1 \+ 4 x 4, E\), but got shape \(16, 2\)"):
        interpolate_positions(torch.rand(16, 2), native=NATIVE, grid=NATIVE)
