"""The position of an image in the square input of SAM and SAM 2.

SAM places the image in the upper left corner of the square, SAM 2 stretches it to the square.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.framing import Size
from clip_surgery.inputs.images import InputImage, to_pixels

# Normalisation of ImageNet, with which both models were trained.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, kw_only=True, eq=False)
class SquareFrame:
    """The position of an image in the square input of the model.

    Attributes:
        original: size of the image.
        content: size of the image in the square, in whose upper left corner it is placed.
        side: side of the square in pixels.
    """

    original: Size
    content: Size
    side: int

    @classmethod
    def of(cls, original: Size, side: int, *, squash: bool, multiple_of: int = 1) -> SquareFrame:
        """The frame of an image, stretched to the square if `squash`, otherwise with its ratio.

        With its ratio, the sides in the square are rounded to multiples of `multiple_of` pixels.
        """
        scale = side / max(original)
        if squash:
            content = Size(side, side)
        else:
            units = (max(1, round(length * scale / multiple_of)) for length in original)
            content = Size(*(multiple_of * count for count in units))
        return cls(original=original, content=content, side=side)

    @property
    def ratio(self) -> Tensor:
        """Pixels of the square per pixel of the image, (x, y), as a tensor (2,)."""
        return torch.tensor(
            [
                self.content.width / self.original.width,
                self.content.height / self.original.height,
            ]
        )

    def pixels(self, image: InputImage) -> Tensor:
        """The normalised image in the square, (3, side, side)."""
        resized = image.image.resize(
            (self.content.width, self.content.height), Image.Resampling.BILINEAR
        )
        mean, std = (
            torch.tensor(values, dtype=torch.float32).view(3, 1, 1) for values in (MEAN, STD)
        )
        return self._pad((to_pixels(resized) - mean) / std, self.side)

    def place_maps(self, maps: Tensor, size: int) -> Tensor:
        """Maps (1, 1, H, W) of the image, placed in a square: (1, 1, size, size)."""
        scale = size / self.side
        content = [max(1, round(side * scale)) for side in self.content]
        return self._pad(
            F.interpolate(maps.float(), size=content, mode="bilinear", antialias=True), size
        )

    def restore(self, logits: Tensor) -> Tensor:
        """Maps (K, h, w) of the square, resized and cropped to the image: (K, H, W)."""
        maps = logits[None]
        if self.content != (self.side, self.side):
            maps = F.interpolate(maps, size=[self.side] * 2, mode="bilinear", align_corners=False)
            maps = maps[..., : self.content.height, : self.content.width]
        size = list(self.original)
        return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0]

    @staticmethod
    def _pad(maps: Tensor, side: int) -> Tensor:
        """Maps with zeros on the right and at the bottom, up to a square."""
        height, width = maps.shape[-2:]
        return F.pad(maps, (0, side - width, 0, side - height))
