"""Images resized to the input of a model, in batches of images with the same size of input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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


def batches_of_one_frame(framings: Sequence[Framing], batch_size: int) -> Iterator[list[int]]:
    """Yield indices of images that share one frame size, at most `batch_size` at a time."""
    by_frame: dict[Size, list[int]] = {}
    for index, framing in enumerate(framings):
        by_frame.setdefault(framing.frame, []).append(index)
    for indices in by_frame.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]
