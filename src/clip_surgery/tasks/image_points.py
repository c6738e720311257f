"""Points that a user chooses in an image, and the patches that show them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from clip_surgery.errors import InputError
from clip_surgery.framing import Framing
from clip_surgery.grid import PatchGrid
from clip_surgery.inputs.images import InputImage


def checked_point(image: InputImage, point: Sequence[float]) -> tuple[float, float]:
    """Return a point (x, y) in pixels of an image.

    Raises:
        InputError: if it is outside of the image, or a coordinate is NaN.
    """
    x, y = (float(coordinate) for coordinate in point)
    if not (0 <= x < image.size.width and 0 <= y < image.size.height):
        raise InputError(
            f"{image.name}: expected a point within {image.size.width} x {image.size.height} px "
            f"(x, y), but got {tuple(point)}."
        )
    return x, y


def patch_at(point: tuple[float, float], framing: Framing, grid: PatchGrid) -> tuple[int, int]:
    """Return row and column of the patch that shows a point (x, y) in pixels of the image.

    Example:
        >>> from clip_surgery.framing import Size
        >>> framing = Framing.keep_ratio(Size(100, 200), short_side=32, multiple_of=8)
        >>> patch_at((199, 0), framing, PatchGrid(rows=4, columns=8))
        (0, 7)
    """
    x, y = framing.frame_points(torch.tensor([point], dtype=torch.float32))[0].tolist()
    row, column = y // (framing.frame.height / grid.rows), x // (framing.frame.width / grid.columns)
    return min(grid.rows - 1, max(0, int(row))), min(grid.columns - 1, max(0, int(column)))
