"""Min-max scaling of maps, and the definition of flat maps.

A map is flat if its range is at most one millionth of its largest magnitude. Resizing a constant
map leaves rounding noise of about this size, which is not evidence and must not be stretched to
the full range. A flat map is zero everywhere after scaling.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLAT_RANGE = 1e-6
"""Largest range of a flat map, as a fraction of its largest magnitude."""


def is_flat(lowest: Tensor, highest: Tensor) -> Tensor:
    """Return whether maps with these lowest and highest values are flat, as bool.

    Args:
        lowest: the lowest value of each map, any shape.
        highest: the highest value of each map, the same shape.

    Example:
        >>> is_flat(torch.tensor([1.0, 0.0]), torch.tensor([1.0000001, 1e-9])).tolist()
        [True, False]
    """
    return highest - lowest <= FLAT_RANGE * torch.maximum(lowest.abs(), highest.abs())


def rescale(values: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Return values scaled so that `lowest` becomes 0 and `highest` becomes 1.

    Args:
        values: values of maps, any shape.
        lowest: the lowest value of the map of each value; broadcasts with `values`.
        highest: the highest value of the map of each value; broadcasts with `values`.

    Returns:
        Values clamped to [0, 1]; 0 for values of a flat map.
    """
    flat = is_flat(lowest, highest)
    scaled = (values - lowest) / (highest - lowest).masked_fill(flat, 1.0)
    return scaled.masked_fill(flat, 0.0).clamp(0.0, 1.0)


def rescale_(values: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    """Scale values in place as `rescale` does, and return them.

    Args:
        values: values of maps, any shape; must be floats and must not need a gradient.
        lowest: the lowest value of the map of each value; broadcasts with `values`.
        highest: the highest value of the map of each value; broadcasts with `values`.
    """
    flat = is_flat(lowest, highest)
    values.sub_(lowest).div_((highest - lowest).masked_fill(flat, 1.0)).clamp_(0.0, 1.0)
    return values.masked_fill_(flat, 0.0) if bool(flat.any()) else values


def min_max(maps: Tensor, *, dims: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Return maps scaled to [0, 1], a flat map as zeros.

    Args:
        maps: one or several maps; must not be empty.
        dims: dimensions over which the lowest and the highest value are taken.

    Example:
        >>> min_max(torch.tensor([[[1.0, 3.0, 2.0]], [[4.0, 4.0, 4.0]]])).tolist()
        [[[0.0, 1.0, 0.5]], [[0.0, 0.0, 0.0]]]
    """
    return rescale(maps, maps.amin(dims, keepdim=True), maps.amax(dims, keepdim=True))
