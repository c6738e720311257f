"""Localisation without masks: is the evidence in the tile that shows the object?

Source: the pointing game on grids of images (Bohle et al., arXiv 2104.00032; Arias-Duart et al.,
"Focus!", arXiv 2109.15035). Four images are put into a mosaic of 2 x 2 tiles, of which one contains
the text. The value is the share of the positive evidence in that tile. Chance is its area, 1/4.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor

from clip_surgery.inputs.images import InputImage
from clip_surgery.surgery.min_max import is_flat


def mosaic(images: Sequence[InputImage], *, tile: int) -> InputImage:
    """Return a mosaic of 2 x 2 square tiles: four images, row by row, each cropped to its centre.

    Args:
        images: four images.
        tile: side of a tile in pixels.
    """
    canvas = Image.new("RGB", (2 * tile, 2 * tile))
    for number, image in enumerate(images):
        side = min(image.image.size)
        left, top = (image.image.width - side) // 2, (image.image.height - side) // 2
        square = image.image.crop((left, top, left + side, top + side))
        square = square.resize((tile, tile), Image.Resampling.LANCZOS)
        canvas.paste(square, (number % 2 * tile, number // 2 * tile))
    return InputImage(image=canvas, name="a mosaic")


def tile_share(scores: Tensor, position: int) -> float:
    """Return the share of the positive evidence of a map in one of its four tiles, in [0, 1].

    A map whose scores are all positive, such as a map of cosines, counts as it is. A patch on the
    border of tiles counts by its area. A map without positive evidence has the value of chance.

    Args:
        scores: the map (rows, columns).
        position: number of the tile, row by row.

    Example:
        >>> tile_share(torch.tensor([[3.0, -5.0], [0.0, 1.0]]), 0)
        0.75
    """
    rows, columns = scores.shape
    top, left = (
        _halves(length, part) for length, part in ((rows, position // 2), (columns, position % 2))
    )
    area = top[:, None] * left
    positive = scores.double().clamp(min=0)
    total = positive.sum()
    if not bool(total > 0) or bool(is_flat(scores.min(), scores.max())):
        return float(area.sum() / (rows * columns))
    return float((positive * area).sum() / total)


def _halves(length: int, part: int) -> Tensor:
    """Return which share of each of some cells lies in the first (0) or second (1) half."""
    first = (length / 2 - torch.arange(length, dtype=torch.float64)).clamp(0, 1)
    return first if part == 0 else 1 - first
