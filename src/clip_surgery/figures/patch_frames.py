"""Draw numbered frames around patches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from clip_surgery.figures.fonts import PAPER, font
from clip_surgery.figures.sheet import Picture, text_image
from clip_surgery.framing import Framing
from clip_surgery.grid import PatchGrid

PAIR_COLOURS = ((230, 57, 70), (29, 120, 116), (244, 162, 97), (69, 91, 190), (150, 80, 160))
"""Colours of the frames of patch pairs, best first; also told apart by their numbers."""


def with_patch_frames(
    picture: Picture, patches: Sequence[tuple[int, int]], framing: Framing, grid: PatchGrid
) -> Picture:
    """Return an image with a numbered frame around each patch.

    Args:
        picture: the image.
        patches: row and column of each patch.
        framing: how the image was resized for the model.
        grid: the grid of patches.
    """

    def draw(drawn: Image.Image) -> Image.Image:
        canvas = drawn.copy()
        unit = drawn.width / picture.size.width  # pixels per unit of the sheet
        scale_x = drawn.width / framing.original.width
        scale_y = drawn.height / framing.original.height
        for number, patch in enumerate(patches, start=1):
            corners = patch_corners(patch, framing, grid)
            (left, upper), (right, lower) = corners.tolist()
            box = (left * scale_x, upper * scale_y, right * scale_x, lower * scale_y)
            _draw_frame(canvas, box, number, unit)
        return canvas

    return picture.edited(draw)


def patch_corners(patch: tuple[int, int], framing: Framing, grid: PatchGrid) -> Tensor:
    """Return the upper left and lower right corner (x, y) of a patch in pixels of the image (2, 2).

    Args:
        patch: row and column of the patch.
        framing: how the image was resized for the model.
        grid: the grid of patches.
    """
    side_y, side_x = framing.frame.height / grid.rows, framing.frame.width / grid.columns
    row, column = patch
    corners = torch.tensor(
        [[column * side_x, row * side_y], [(column + 1) * side_x, (row + 1) * side_y]]
    )
    return framing.restore_points(corners)


def _draw_frame(
    canvas: Image.Image, box: tuple[float, float, float, float], number: int, unit: float
) -> None:
    """Draw a frame with its number in the upper left corner; `unit` is the width of a thin line."""
    draw = ImageDraw.Draw(canvas)
    colour = PAIR_COLOURS[(number - 1) % len(PAIR_COLOURS)]
    draw.rectangle(box, outline=colour, width=max(1, round(3 * unit)))
    draw.rectangle((box[0], box[1], box[0] + 15 * unit, box[1] + 17 * unit), fill=colour)
    label = text_image(str(number), font(14, bold=True), PAPER, unit)
    canvas.paste(label, (round(box[0] + 3 * unit), round(box[1])), label)
