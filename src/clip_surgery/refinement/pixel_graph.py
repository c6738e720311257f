"""Propagation of class scores on a graph of pixels of similar colour (LPOSS+).

Source: the second stage of LPOSS+ (Stojnic et al., CVPR 2025, arXiv 2503.19777): each pixel is
connected with all pixels of a 13 x 13 window by the distance of their colours in CIELAB, whose
channels are divided by 100, 128 and 128.

Letters: B images, C texts, h x w pixels, e edges per pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.refinement.conjugate_gradients import conjugate_gradients, divide_or_zero
from clip_surgery.refinement.setting_checks import check_at_least, check_positive


@dataclass(frozen=True, kw_only=True)
class PixelGraphRefinement:
    """Propagate scores on a graph of pixels of similar colour (LPOSS+; see `propagate_on_pixels`).

    Attributes:
        reach: reach of the window of a pixel, in cells.
        contrast: distance of colours at which a weight is 1 / e.
        spread: share of the neighbours, in [0, 1).
        steps: number of steps of conjugate gradients.
        cells: cells along a side of a square image. The code refines all pixels of an image whose
            short side is 448, which takes 16 times as long.

    Raises:
        InputError: if a setting is outside of its range.
    """

    name: ClassVar[str] = "pixel graph"

    reach: int = 6
    contrast: float = 0.01
    spread: float = 0.95
    steps: int = 10
    cells: int = 112

    def __post_init__(self) -> None:
        check_at_least(self, cells=1, steps=0, reach=0)
        check_positive(self, "contrast")
        if not 0 <= self.spread < 1:
            raise InputError(f"Expected spread of 0 or more and below 1, but got {self.spread}.")

    def __call__(self, maps: Tensor, colours: Tensor, texts: Tensor | None = None) -> Tensor:
        """Return refined maps (B, C, h, w)."""
        return propagate_on_pixels(
            maps,
            colours,
            reach=self.reach,
            contrast=self.contrast,
            spread=self.spread,
            steps=self.steps,
        )


def propagate_on_pixels(
    maps: Tensor,
    pixels: Tensor,
    *,
    reach: int = 6,
    contrast: float = 0.01,
    spread: float = 0.95,
    steps: int = 10,
) -> Tensor:
    """Return the maps F of (I - spread W) F = maps, by conjugate gradients from zero.

    Two pixels of one window have the weight exp(-distance of colours / contrast), and W is the
    matrix of weights, normalised by the roots of its row sums.

    Args:
        maps: (B, C, h, w).
        pixels: (B, 3, h, w), red, green and blue (sRGB) in [0, 1].
        reach: reach of the window; it has 2 reach + 1 pixels a side.
        contrast: distance of colours at which a weight is 1 / e.
        spread: share of the neighbours in [0, 1). With 0 the maps are returned.
        steps: number of steps of conjugate gradients.
    """
    if spread == 0 or steps == 0 or reach == 0:
        return maps
    # An edge is stored once, at its end that comes first in row-major order.
    offsets = [
        (down, across)
        for down in range(reach + 1)
        for across in range(-reach, reach + 1)
        if (down, across) > (0, 0)
    ]
    edges = edge_weights(to_lab(pixels).to(maps.dtype), offsets, contrast)  # one (B, h', w') each

    def neighbours(field: Tensor) -> Tensor:
        """Sum of weighted neighbours (B, C, h, w) of a field of this shape."""
        total = torch.zeros_like(field)
        for (down, across), weight in zip(offsets, edges, strict=True):
            here, there = overlap(field, down, across)
            total_here, total_there = overlap(total, down, across)
            total_here.addcmul_(there, weight[:, None])
            total_there.addcmul_(here, weight[:, None])
        return total

    degree = neighbours(torch.ones_like(maps[:, :1]))
    root = divide_or_zero(torch.ones_like(degree), degree).sqrt()

    def apply(flat: Tensor) -> Tensor:
        field = flat.view_as(maps)
        applied: Tensor = field - spread * root * neighbours(root * field)
        return applied.flatten(-2)

    right = maps.flatten(-2)
    solved = conjugate_gradients(apply, right, start=torch.zeros_like(right), steps=steps)
    return solved.view_as(maps)


def edge_weights(lab: Tensor, offsets: list[tuple[int, int]], contrast: float) -> list[Tensor]:
    """Return the weight of the edge between each pixel and the one at an offset, per offset."""
    weights = []
    for down, across in offsets:
        here, there = overlap(lab, down, across)
        weights.append(torch.exp(-(here - there).norm(dim=1) / contrast))
    return weights


def overlap(field: Tensor, down: int, across: int) -> tuple[Tensor, Tensor]:
    """Return the views of the pixels that have a neighbour at an offset, and of these neighbours.

    Args:
        field: (..., h, w).
        down: rows to the neighbour, 0 or more.
        across: columns to the neighbour, of any sign.
    """
    height, width = field.shape[-2:]
    rows, columns = max(height - down, 0), max(width - abs(across), 0)
    left, right = max(-across, 0), max(across, 0)
    here = field[..., :rows, left : left + columns]
    there = field[..., height - rows :, right : right + columns]
    return here, there


def to_lab(pixels: Tensor) -> Tensor:
    """Return CIELAB colours (B, 3, h, w) of sRGB pixels in [0, 1], divided by 100, 128 and 128.

    The white point is that of CIE D65.
    """
    linear = torch.where(
        pixels <= 0.04045, pixels / 12.92, ((pixels.clamp(min=0) + 0.055) / 1.055).pow(2.4)
    )
    to_xyz = pixels.new_tensor(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = pixels.new_tensor([0.950456, 1.0, 1.088754])[:, None, None]
    xyz = torch.einsum("ij,bjhw->bihw", to_xyz, linear) / white
    bent = torch.where(xyz > 0.008856, xyz.clamp(min=1e-9).pow(1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = bent.unbind(1)
    return torch.stack([(116 * y - 16) / 100, 500 * (x - y) / 128, 200 * (y - z) / 128], dim=1)
