"""Refinement of class maps by repeated means over neighbours of a similar colour (PAMR).

Source: pixel-adaptive mask refinement of Araslanov and Roth, "Single-Stage Semantic Segmentation
from Image Labels" (CVPR 2020, arXiv 2005.08104), as ResCLIP and CASS use it: 10 steps with the
dilations 8 and 16. The weights are kept (8 per dilation and pixel); neighbours of maps are
added one at a time, so that memory does not grow with texts times neighbours.

Letters: B images, C texts, h x w pixels, n neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from clip_surgery.refinement.setting_checks import check_at_least

CONTRAST = 0.1
"""Differences are divided by this share of the local standard deviation."""
_DIRECTIONS = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]


@dataclass(frozen=True, kw_only=True)
class PamrRefinement:
    """Average maps over neighbours of similar colour (PAMR, CVPR 2020; see `refine_by_colour`).

    Attributes:
        steps: number of steps.
        dilation: distance of the nearer neighbours in cells; others are twice as far.
        cells: cells along a side of a square image; the published dilations are for pixels.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "pamr"

    steps: int = 10
    dilation: int = 8
    cells: int = 224

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, steps=0, dilation=1)

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        dilations = (self.dilation, 2 * self.dilation)
        return refine_by_colour(maps, colours, steps=self.steps, dilations=dilations)


def refine_by_colour(
    maps: Tensor, pixels: Tensor, *, steps: int = 10, dilations: Sequence[int] = (8, 16)
) -> Tensor:
    """Return maps of which each pixel is repeatedly the mean of its neighbours of similar colour.

    A pixel has eight neighbours per dilation, which are beyond the rim those of the rim. With d
    the difference of colours and s the standard deviation over the neighbours, the weights are the
    softmax over the neighbours of the mean over channels of -|d| / (0.1 s).

    Args:
        maps: (B, C, h, w).
        pixels: (B, 3, h, w), in any unit.
        steps: number of steps; with 0 the maps are returned.
        dilations: distances of neighbours, in pixels, each 1 or more.
    """
    if not steps:
        return maps
    offsets = [
        (dilation * down, dilation * across)
        for dilation in dilations
        for down, across in _DIRECTIONS
        if (down, across) != (0, 0)
    ]
    reach = max(dilations)
    weights = neighbour_weights(pixels, offsets, dilations).to(maps.dtype)  # (B, n, h, w)
    for _ in range(steps):
        padded = pad(maps, [reach] * 4, mode="replicate")
        maps = sum_of_neighbours(padded, weights, offsets, reach)
    return maps


def neighbour_weights(
    pixels: Tensor, offsets: Sequence[tuple[int, int]], dilations: Sequence[int]
) -> Tensor:
    """Return the weights of the neighbours at each pixel (B, n, h, w), which sum to 1."""
    reach = max(dilations)
    padded = pad(pixels, [reach] * 4, mode="replicate")
    near = torch.stack([shifted(padded, offset, reach) for offset in offsets], dim=1)
    itself = pixels[:, None].expand(-1, len(dilations), -1, -1, -1)  # once per dilation
    deviation = torch.cat([near, itself], dim=1).std(dim=1)  # (B, 3, h, w)
    distance = (near - pixels[:, None]).abs() / (CONTRAST * deviation[:, None] + 1e-8)
    return (-distance.mean(dim=2)).softmax(dim=1)


def sum_of_neighbours(
    padded: Tensor, weights: Tensor, offsets: Sequence[tuple[int, int]], reach: int
) -> Tensor:
    """Return the weighted sum (B, C, h, w) of the neighbours in padded maps."""
    total = shifted(padded, offsets[0], reach) * weights[:, :1]
    for index, offset in enumerate(offsets[1:], start=1):
        total.addcmul_(shifted(padded, offset, reach), weights[:, index : index + 1])
    return total


def shifted(padded: Tensor, offset: tuple[int, int], reach: int) -> Tensor:
    """Return the view (..., h, w) of padded pixels whose element is its neighbour at `offset`."""
    height, width = (side - 2 * reach for side in padded.shape[-2:])
    down, across = (reach + step for step in offset)
    return padded[..., down : down + height, across : across + width]
