"""Resizing of images to the input of a model, and the inverse for maps and points.

One object has the resize and its inverse, so that both always use the same numbers. Sizes are
(height, width) in pixels, points are (x, y) in pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from clip_surgery.errors import InputError, UnknownNameError

FramingMode = Literal["keep ratio", "squash", "letterbox"]
MAX_PATCHES = 4_096
"""Default limit of patches per image; the cost of attention grows with the square of it."""
MAX_ASPECT_RATIO = 8.0
"""Default limit of the longer side divided by the shorter one for the mode "keep ratio"."""

_REDUCING_GAP = 4.0
"""Images more than four times too large are first reduced by whole factors, to save memory."""


class Size(NamedTuple):
    """Height and width in pixels."""

    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Framing:
    """The resize of one image and its position in the frame, which is the input of the model.

    The original is resized to `content`, which is centred in `frame`. Squash and keep-ratio
    fill the frame (`content == frame`); letterbox leaves margins.

    Attributes:
        original: size of the image in pixels.
        content: size of the resized image in pixels.
        frame: size of the input of the model in pixels.

    Raises:
        InputError: if a side is below 1 px or the content is larger than the frame.

    Example:
        >>> framing = Framing.keep_ratio(Size(480, 640), short_side=224, multiple_of=16)
        >>> framing.frame
        Size(height=224, width=304)
    """

    original: Size
    content: Size
    frame: Size

    def __post_init__(self) -> None:
        for name in ("original", "content", "frame"):
            size = getattr(self, name)
            if min(size) < 1:
                raise InputError(f"Expected {name} sides of at least 1 px, but got {tuple(size)}.")
        if self.content.height > self.frame.height or self.content.width > self.frame.width:
            raise InputError(
                f"Expected content within the frame {tuple(self.frame)}, "
                f"but got {tuple(self.content)}."
            )

    @classmethod
    def squash(cls, original: Size, *, frame: Size) -> Framing:
        """Resize to the frame and change the aspect ratio, as the reference code does."""
        return cls(original=original, content=frame, frame=frame)

    @classmethod
    def letterbox(cls, original: Size, *, frame: Size) -> Framing:
        """Keep the aspect ratio, resize to fit the frame, and centre the image between margins."""
        scale = min(frame.height / original.height, frame.width / original.width)
        content = Size(
            max(1, min(frame.height, round(original.height * scale))),
            max(1, min(frame.width, round(original.width * scale))),
        )
        return cls(original=original, content=content, frame=frame)

    @classmethod
    def keep_ratio(
        cls, original: Size, *, short_side: int, multiple_of: int, max_patches: int = MAX_PATCHES
    ) -> Framing:
        """Scale the short side to `short_side`, and round each side to whole patches.

        Args:
            original: size of the image in pixels.
            short_side: length of the short side in pixels.
            multiple_of: side of a patch in pixels.
            max_patches: an image that would have more patches is scaled down.
        """
        scale = short_side / min(original)
        patches = [side * scale / multiple_of for side in original]
        excess = math.sqrt(max(1.0, math.prod(patches) / max_patches))
        rows, columns = (max(1, min(max_patches, round(side / excess))) for side in patches)
        if rows * columns > max_patches:  # one side was raised to a whole patch
            rows, columns = min(rows, max_patches // columns or 1), min(columns, max_patches)
        frame = Size(rows * multiple_of, columns * multiple_of)
        return cls(original=original, content=frame, frame=frame)

    @property
    def offset(self) -> Size:
        """Position of the upper left corner of the content in the frame, in pixels."""
        return Size(
            (self.frame.height - self.content.height) // 2,
            (self.frame.width - self.content.width) // 2,
        )

    def apply(self, image: Image.Image, *, margin: tuple[int, int, int] = (0, 0, 0)) -> Image.Image:
        """Return an RGB image resized (bicubic, antialiased) and placed in the frame.

        Args:
            image: an RGB image of size `original`.
            margin: colour of the margins, red, green and blue in 0..255.

        Raises:
            InputError: if the image is not of the size this framing was made for.
        """
        if (image.height, image.width) != tuple(self.original):
            raise InputError(
                f"Expected an image of {tuple(self.original)} (height, width), "
                f"but got {(image.height, image.width)}."
            )
        content = image.resize(
            (self.content.width, self.content.height),
            Image.Resampling.BICUBIC,
            reducing_gap=_REDUCING_GAP,
        )
        if self.content == self.frame:
            return content
        framed = Image.new("RGB", (self.frame.width, self.frame.height), margin)
        framed.paste(content, (self.offset.width, self.offset.height))
        return framed

    def restore_map(self, maps: Tensor) -> Tensor:
        """Resize maps of the frame (..., rows, columns) to the original image: (..., H, W)."""
        flat = maps.reshape(1, -1, *maps.shape[-2:])
        if self.content == self.frame:
            size = [self.original.height, self.original.width]
            restored = F.interpolate(flat, size=size, mode="bilinear", align_corners=False)
        else:
            restored = F.grid_sample(
                flat,
                self._content_in_frame(flat),
                mode="bilinear",
                padding_mode="border",
                align_corners=False,
            )
        return restored.reshape(*maps.shape[:-2], *self.original)

    def _content_in_frame(self, like: Tensor) -> Tensor:
        """Sampling grid (1, H, W, 2) in [-1, 1] of the content within the frame."""
        height = torch.arange(self.original.height, device=like.device, dtype=like.dtype)
        width = torch.arange(self.original.width, device=like.device, dtype=like.dtype)
        y = (height + 0.5) * (self.content.height / self.original.height) + self.offset.height
        x = (width + 0.5) * (self.content.width / self.original.width) + self.offset.width
        y, x = y * (2 / self.frame.height) - 1, x * (2 / self.frame.width) - 1
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        return torch.stack([grid_x, grid_y], dim=-1)[None]

    def restore_points(self, points: Tensor) -> Tensor:
        """Map points (..., 2) of the frame, (x, y) in pixels, to the original image, and clip."""
        offset, ratio = self._offset_and_ratio(points)
        last = points.new_tensor([self.original.width - 1, self.original.height - 1])
        restored = (points - offset) / ratio
        return torch.minimum(restored.clamp(min=0), last)

    def frame_points(self, points: Tensor) -> Tensor:
        """Map points (..., 2) of the original image, (x, y) in pixels, to the frame."""
        offset, ratio = self._offset_and_ratio(points)
        return points * ratio + offset

    def _offset_and_ratio(self, points: Tensor) -> tuple[Tensor, Tensor]:
        ratio = points.new_tensor(
            [
                self.content.width / self.original.width,
                self.content.height / self.original.height,
            ]
        )
        return points.new_tensor([self.offset.width, self.offset.height]), ratio


@dataclass(frozen=True, kw_only=True)
class FramingRule:
    """The setting that decides how each image is resized to the input of the model.

    Attributes:
        mode: "keep ratio" keeps the aspect ratio and uses a rectangular grid of patches, "squash"
            resizes to a square, "letterbox" keeps the aspect ratio within a square and pads.
        size: the short side ("keep ratio") or the side of the square, in pixels, rounded to whole
            patches. None is the model's own size.
        max_patches: maximum number of patches in mode "keep ratio"; larger images are scaled down.
        max_aspect_ratio: images whose longer side divided by the shorter one exceeds this are
            letterboxed instead, so that a tiny file cannot demand a very long sequence.

    Raises:
        UnknownNameError: if the mode is unknown.
        InputError: if a number is below 1.
    """

    mode: FramingMode = "keep ratio"
    size: int | None = None
    max_patches: int = MAX_PATCHES
    max_aspect_ratio: float = MAX_ASPECT_RATIO

    def __post_init__(self) -> None:
        if self.mode not in get_args(FramingMode):
            raise UnknownNameError.among("framing", self.mode, get_args(FramingMode))
        if self.size is not None and self.size < 1:
            raise InputError(f"Expected size to be at least 1 px, but got {self.size}.")
        for name in ("max_patches", "max_aspect_ratio"):
            if not getattr(self, name) >= 1:
                raise InputError(f"Expected {name} of at least 1, but got {getattr(self, name)}.")

    def framing(self, original: Size, *, native_size: int, patch_size: int) -> Framing:
        """Return how an image is resized.

        Args:
            original: size of the image in pixels.
            native_size: side of the square images that the model was trained with, in pixels.
            patch_size: side of a patch in pixels.
        """
        side = self.size or native_size
        if self.mode == "keep ratio" and max(original) <= self.max_aspect_ratio * min(original):
            return Framing.keep_ratio(
                original,
                short_side=side,
                multiple_of=patch_size,
                max_patches=self.max_patches,
            )
        side = max(1, round(side / patch_size)) * patch_size
        if self.mode == "squash":
            return Framing.squash(original, frame=Size(side, side))
        return Framing.letterbox(original, frame=Size(side, side))
