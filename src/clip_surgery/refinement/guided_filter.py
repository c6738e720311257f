"""Refinement of class maps by the guided filter: locally, a map is a linear function of the colour.

Source: He, Sun, Tang, "Guided Image Filtering" (ECCV 2010), with a guide of three channels. Its
cost does not depend on the radius, and hardly on the number of maps.

Letters: B images, C texts, h x w pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.refinement.setting_checks import check_at_least, check_positive


@dataclass(frozen=True, kw_only=True)
class GuidedRefinement:
    """Filter maps with the colours as guide (He et al., ECCV 2010; see `refine_by_guide`).

    Attributes:
        radius: reach of a window in cells, 0 or more.
        regularisation: added to the variances of colours.
        cells: cells along a side of a square image.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "guided"

    radius: int = 8
    regularisation: float = 1e-3
    cells: int = 112

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, radius=0)
        check_positive(self, "regularisation")

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        return refine_by_guide(
            maps, colours, radius=self.radius, regularisation=self.regularisation
        )


def refine_by_guide(
    maps: Tensor, pixels: Tensor, *, radius: int = 8, regularisation: float = 1e-3
) -> Tensor:
    """Return maps filtered by the guided filter with the colours as guide.

    In every window the map is fitted by a^T colour + b; a pixel becomes the mean over its windows
    of the fitted functions. Edges of the image become edges of the maps. A map that is constant is
    unchanged, and so is every map if the radius is 0.

    Args:
        maps: (B, C, h, w).
        pixels: (B, 3, h, w), red, green and blue in [0, 1].
        radius: reach of a window in pixels; it has 2 radius + 1 pixels a side, fewer at the rim.
        regularisation: added to the variances of colours; a larger value smooths more.
    """
    guide = pixels.to(maps.dtype)
    mean_guide = box_mean(guide, radius)  # (B, 3, h, w)
    mean_maps = box_mean(maps, radius)  # (B, C, h, w)
    inverse = inverse_covariance(guide, mean_guide, radius, regularisation)  # (B, 3, 3, h, w)
    covariances = [
        box_mean(guide[:, channel, None] * maps, radius) - mean_guide[:, channel, None] * mean_maps
        for channel in range(3)
    ]
    offset = mean_maps
    result = torch.zeros_like(maps)
    for channel in range(3):
        slope = sum(inverse[:, channel, other, None] * covariances[other] for other in range(3))
        offset = offset - slope * mean_guide[:, channel, None]
        result += box_mean(torch.as_tensor(slope), radius) * guide[:, channel, None]
    return result + box_mean(offset, radius)


def inverse_covariance(guide: Tensor, mean: Tensor, radius: int, regularisation: float) -> Tensor:
    """Return the inverse of the regularised covariance of colours in each window (B, 3, 3, h, w).

    It is the matrix of cofactors over the determinant, which is at least regularisation^3.
    """
    products = box_mean((guide[:, :, None] * guide[:, None]).flatten(1, 2), radius)
    covariance = (
        products.view_as(mean[:, :, None] * mean[:, None]) - mean[:, :, None] * mean[:, None]
    )
    identity = torch.eye(3, dtype=guide.dtype, device=guide.device)[:, :, None, None]
    covariance = covariance + regularisation * identity
    first, second, third = covariance.unbind(1)  # rows (B, 3, h, w)
    cofactors = torch.stack(
        [
            torch.linalg.cross(second, third, dim=1),
            torch.linalg.cross(third, first, dim=1),
            torch.linalg.cross(first, second, dim=1),
        ],
        dim=2,
    )
    determinant = (first * cofactors[:, :, 0]).sum(dim=1)
    inverse: Tensor = cofactors / determinant.clamp(min=regularisation**3)[:, None, None]
    return inverse


def box_mean(maps: Tensor, radius: int) -> Tensor:
    """Return the mean over the window around each pixel, of the pixels that are in the image."""
    return axis_mean(axis_mean(maps, radius, dim=-1), radius, dim=-2)


def axis_mean(maps: Tensor, radius: int, *, dim: int) -> Tensor:
    """Return the mean over `radius` neighbours on both sides along one dimension."""
    if radius == 0:
        return maps
    length = maps.shape[dim]
    # Differences of running sums lose digits over a long side, so these sums are float64.
    total = maps.to(torch.float64).cumsum(dim=dim)
    total = torch.cat([torch.zeros_like(total.narrow(dim, 0, 1)), total], dim=dim)
    index = torch.arange(length, device=maps.device)
    first, last = (index - radius).clamp(min=0), (index + radius + 1).clamp(max=length)
    sums = total.index_select(dim, last) - total.index_select(dim, first)
    count = (last - first).to(torch.float64)
    return (sums / (count if dim == -1 else count[:, None])).to(maps.dtype)
