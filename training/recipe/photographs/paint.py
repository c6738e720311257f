"""Canvases painted on the device: photographs and sprites sampled through affine grids."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.evaluation.datasets.scenes import ALL_NOUNS
from clip_surgery.evaluation.datasets.scenes.sprites import atlas
from recipe.data import on_device
from recipe.photographs.layout import Layout
from recipe.photographs.store import Photographs

SPRITE_SIDE = 72
SMALLEST_BOX = 0.35
"""Half the side of the smallest part of a photograph that is pasted, its whole side being 2."""


class Canvas:
    """B pictures being painted: pixels (B, 3, S, S) float in 0 to 255 and owner (B, S, S) int64.

    owner is the number of the piece that a pixel shows, -1 where nothing has been painted.
    """

    def __init__(self, count: int, size: int, device: str) -> None:
        self.size = size
        self.pixels = torch.zeros(count, 3, size, size, device=device)
        self.owner = torch.full((count, size, size), -1, device=device)
        steps = (torch.arange(size, device=device) + 0.5) / size
        across, down = torch.meshgrid(steps, steps, indexing="xy")
        self.places = torch.stack([across, down], dim=-1)  # (S, S, 2) x, y

    def photographs(self, layout: Layout, chosen: Tensor, photographs: Photographs) -> None:
        """Paint photographs `chosen` (B, K) as the layout says; pieces 0, 1, ..."""
        for piece in range(layout.active.shape[1]):
            if not layout.active[:, piece].any():
                continue
            rows = chosen[:, piece]
            textures = photographs.pixels[rows].float()
            crop = self._crop(layout, piece, photographs.boxes[rows])
            self._paint(layout, piece, textures, crop, number=piece)

    def sprites(self, layout: Layout, chosen: Tensor, first: int) -> None:
        """Paint sprites `chosen` (B, K) on top; they are pieces first, first + 1, ..."""
        sheet = sprite_textures(str(self.pixels.device))
        whole = torch.tensor([0.0, 0.0, 1.0, 1.0], device=self.pixels.device)
        for piece in range(layout.active.shape[1]):
            if not layout.active[:, piece].any():
                continue
            textures = sheet[chosen[:, piece]]
            self._paint(layout, piece, textures, whole.expand(len(chosen), 4), first + piece)

    def _crop(self, layout: Layout, piece: int, boxes: Tensor) -> Tensor:
        """The part of each picture that is shown, (B, 4): centre x, y, half x, y in -1 to 1."""
        half = self._tensor(layout.half[:, piece])
        fitting = half / half.amax(dim=1, keepdim=True)  # keeps the picture's proportions
        size = fitting * self._tensor(layout.zoom[:, piece])[:, None]
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        # The part holds the middle of the object's box, and lies inside the picture.
        centre = middle + self._tensor(layout.shift[:, piece]) * size * 0.8
        centre = torch.minimum(torch.maximum(centre, size - 1), 1 - size)
        free = torch.cat([centre, size], dim=1)
        # A box of a few pixels would be a blur: show at least a bit of what is around it.
        extent = ((boxes[:, 2:] - boxes[:, :2]) / 2).clamp(min=SMALLEST_BOX)
        near = torch.minimum(torch.maximum(middle, extent - 1), 1 - extent)
        boxed = torch.cat([near, extent], dim=1)
        return torch.where(self._tensor(layout.boxed[:, piece])[:, None], boxed, free)

    def _paint(
        self, layout: Layout, piece: int, textures: Tensor, crop: Tensor, number: int
    ) -> None:
        """Sample textures (B, 3 or 4, h, w) into the rectangle; a fourth channel is alpha."""
        centre, half = self._tensor(layout.centre[:, piece]), self._tensor(layout.half[:, piece])
        angle = self._tensor(layout.angle[:, piece])[:, None, None]
        away = self.places - centre[:, None, None]  # (B, S, S, 2)
        turned = torch.stack(
            [
                away[..., 0] * angle.cos() + away[..., 1] * angle.sin(),
                away[..., 1] * angle.cos() - away[..., 0] * angle.sin(),
            ],
            dim=-1,
        )
        local = turned / half[:, None, None]
        inside = (local.abs() <= 1).all(dim=-1) & self._tensor(layout.active[:, piece])[
            :, None, None
        ]
        mirror = 1 - 2 * self._tensor(layout.mirrored[:, piece]).float()
        local = torch.stack([local[..., 0] * mirror[:, None, None], local[..., 1]], dim=-1)
        source = crop[:, None, None, :2] + local * crop[:, None, None, 2:]
        sampled = F.grid_sample(textures, source, padding_mode="border", align_corners=False)
        cover = inside.float()
        if sampled.shape[1] == 4:
            cover = cover * sampled[:, 3] / 255
        self.pixels = torch.lerp(self.pixels, sampled[:, :3], cover[:, None])
        self.owner = torch.where(cover > 0.5, number, self.owner)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return on_device(values, str(self.pixels.device))


def coloured(canvas: Canvas, draws: np.ndarray) -> Tensor:
    """The pixels, with brightness, contrast, saturation and tint of each image changed a little.

    draws: (B, 6) float32 in -1 to 1: saturation, contrast, brightness, tint of the three colours.
    """
    pixels, painted = canvas.pixels, (canvas.owner >= 0)[:, None]
    change = on_device(draws, str(pixels.device))[:, :, None, None, None]
    grey = pixels.mean(dim=1, keepdim=True)
    pixels = grey + (pixels - grey) * (1 + 0.4 * change[:, 0])
    # What is not painted is black and stays so; it must not count as a dark part of the picture.
    share = painted.float().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-3)
    mean = pixels.mean(dim=(1, 2, 3), keepdim=True) / share
    pixels = mean + (pixels - mean) * (1 + 0.3 * change[:, 1])
    tint = 1 + 0.06 * change[:, 3:, 0].squeeze(-1)[..., None]
    return (pixels * (1 + 0.25 * change[:, 2]) * tint.view(-1, 3, 1, 1)).clamp(0, 255) * painted


@lru_cache(maxsize=1)
def sprite_textures(device: str) -> Tensor:
    """All sprites (165, 4, 72, 72) float, straight alpha, each in the middle of its square."""
    sheet = np.zeros((len(ALL_NOUNS), SPRITE_SIDE, SPRITE_SIDE, 4), np.float32)
    for row, noun in enumerate(ALL_NOUNS):
        picture = np.asarray(atlas()[noun].full.convert("RGBA"))
        top, left = ((SPRITE_SIDE - side) // 2 for side in picture.shape[:2])
        sheet[row, top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return torch.from_numpy(sheet).permute(0, 3, 1, 2).to(device)
