"""Images resized to the input of a model, in batches of images with the same size of input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.framing import Framing, Size
from clip_surgery.inputs.images import InputImage, to_pixels


def framed_pixels(
    image: InputImage, framing: Framing, *, mean_rgb: tuple[float, float, float]
) -> Tensor:
    """Return the pixels (3, H, W) in [0, 1] of an image that is resized as a framing says.

    Args:
        image: the image.
        framing: how this image is resized.
        mean_rgb: colour of letterbox margins, red, green and blue in [0, 1]. Normalisation maps the
            mean colour of a model to zero.

    Raises:
        InputError: if there is not enough memory to resize the image.
    """
    red, green, blue = (round(255 * mean) for mean in mean_rgb)
    try:
        return to_pixels(framing.apply(image.image, margin=(red, green, blue)))
    except MemoryError as error:
        raise InputError(
            f"{image.name}: not enough memory to resize the image to "
            f"{framing.frame.height} x {framing.frame.width} px (height x width)."
        ) from error


def compact_pixels(pixels: Tensor) -> Tensor:
    """Return a copy of pixels in [0, 1] on the CPU, as uint8 if nothing is lost by that.

    Pixels of images are multiples of 1 / 255, so that they need a quarter of the memory.
    """
    levels = (pixels * 255).round().to(torch.uint8)
    if torch.equal(full_pixels(levels).to(pixels.dtype), pixels):
        return levels.cpu()
    return pixels.detach().to("cpu", copy=True)


def full_pixels(pixels: Tensor) -> Tensor:
    """Return pixels in [0, 1] from those of `compact_pixels`.

    Example:
        >>> pixels = torch.tensor([0.0, 0.2, 1.0])
        >>> compact_pixels(pixels), full_pixels(compact_pixels(pixels))
        (tensor([  0,  51, 255], dtype=torch.uint8), tensor([0.0000, 0.2000, 1.0000]))
    """
    return pixels.to(torch.float32) / 255 if pixels.dtype == torch.uint8 else pixels


def batches_of_one_frame(framings: Sequence[Framing], batch_size: int) -> Iterator[list[int]]:
    """Yield indices of images that share one frame size, at most `batch_size` at a time."""
    by_frame: dict[Size, list[int]] = {}
    for index, framing in enumerate(framings):
        by_frame.setdefault(framing.frame, []).append(index)
    for indices in by_frame.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]
