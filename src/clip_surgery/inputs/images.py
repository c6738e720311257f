"""Reading of images from files, bytes, PIL images and arrays as upright RGB images.

Orientation, palette, transparency, bit depth and colour space are converted here, before any
resize, so that the model and the overlay use the same image. An image that cannot be read raises
an `InputError` that names the image and the reason.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.framing import Size
from clip_surgery.inputs.colour_modes import to_rgb
from clip_surgery.inputs.decoder_messages import without_decoder_messages
from clip_surgery.inputs.image_files import MAX_BYTES, read_file, reason_in_one_line
from clip_surgery.inputs.names import printable

MAX_PIXELS = 64_000_000
"""Default limit of the number of pixels of an image: about 1 GB of memory while it is decoded."""
MAX_SIDE = 65_535
"""Largest width or height of an image in pixels, which is also the limit of the JPEG format."""


@dataclass(frozen=True, kw_only=True, eq=False)
class InputImage:
    """An upright RGB image and its name in results and error messages.

    Raises:
        InputError: if the image is not RGB or has no area.
    """

    image: Image.Image
    name: str

    def __post_init__(self) -> None:
        if self.image.mode != "RGB":
            raise InputError(f"{self.name}: expected an RGB image, but got {self.image.mode}.")
        _check_area(self.image, self.name)

    @property
    def size(self) -> Size:
        """Height and width in pixels."""
        return Size(self.image.height, self.image.width)


FileContent: TypeAlias = bytes | bytearray | memoryview
ImageSource: TypeAlias = (
    "str | os.PathLike[str] | FileContent | Image.Image | NDArray[Any] | InputImage"
)


def read_image(
    source: ImageSource,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> InputImage:
    """Read an image as upright RGB from a path, file content, a PIL image or a uint8 array.

    EXIF orientation is applied, transparent pixels are blended with white, 16-bit grey values are
    scaled to 8 bits, and of an animation the first frame is used. The size that the file declares
    is checked before any pixel is decoded.

    Args:
        source: a path, the bytes of an image file, a PIL image, or an array of shape (H, W),
            (H, W, 1), (H, W, 3) or (H, W, 4), uint8, with channels red, green, blue and alpha.
        name: name of the image in results and error messages, by default the path or "image".
            Characters that cannot be printed safely are escaped (see `inputs.names`).
        max_pixels: maximum number of pixels (width times height).
        max_bytes: maximum size of the file in bytes.

    Raises:
        InputError: if the source is missing, not a regular file, empty, damaged, larger than
            `max_bytes`, `max_pixels` or 65,535 pixels a side, without area, or not an image.

    Example:
        >>> read_image(Image.new("L", (4, 3)), name="grey").size
        Size(height=3, width=4)
    """
    if isinstance(source, InputImage):
        return source if name is None else InputImage(image=source.image, name=printable(name))
    if isinstance(source, np.ndarray):
        name = printable(name or "image")
        return InputImage(image=_from_array(source, name), name=name)
    if isinstance(source, Image.Image):
        name = printable(name or str(getattr(source, "filename", "") or "image"))
        return _from_pil(source, name, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_content(bytes(source), printable(name or "image"), max_pixels)
    if isinstance(source, str | os.PathLike):
        name = printable(name or os.fspath(source))
        return _from_content(read_file(source, name=name, max_bytes=max_bytes), name, max_pixels)
    raise InputError(
        f"{name or 'image'}: expected a path, bytes, a PIL image or a uint8 array, "
        f"but got {type(source).__name__}."
    )


def to_pixels(source: InputImage | Image.Image) -> Tensor:
    """Return the pixels (3, H, W) of an RGB image, float32 in [0, 1].

    Raises:
        InputError: if the image is not RGB.
    """
    image = source.image if isinstance(source, InputImage) else source
    if image.mode != "RGB":
        raise InputError(f"Expected an RGB image, but got {image.mode}.")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32) / 255


def _from_content(content: bytes, name: str, max_pixels: int) -> InputImage:
    if not content:
        raise InputError(f"{name}: the file is empty.")
    with _decoder_errors(name):
        image = Image.open(io.BytesIO(content))
    with image:
        return _from_pil(image, name, max_pixels)


def _from_pil(image: Image.Image, name: str, max_pixels: int) -> InputImage:
    _check_area(image, name)
    if image.width * image.height > max_pixels:
        raise InputError(
            f"{name}: {image.width} x {image.height} px is over the limit of {max_pixels:,} pixels."
        )
    if max(image.size) > MAX_SIDE:
        raise InputError(
            f"{name}: {image.width} x {image.height} px is over the limit of {MAX_SIDE:,} pixels "
            "a side."
        )
    with _decoder_errors(name), without_decoder_messages(image.format):
        image.load()
        image = to_rgb(_upright(image))
    return InputImage(image=image, name=name)


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    if array.dtype != np.uint8:
        raise InputError(
            f"{name}: expected an array of uint8 in 0..255, but got {array.dtype}; "
            "scale to 0..255 and convert it."
        )
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise InputError(
            f"{name}: expected an array of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), "
            f"but got {array.shape}."
        )
    if array.size == 0:
        raise InputError(f"{name}: expected an image with an area, but got shape {array.shape}.")
    return to_rgb(Image.fromarray(np.ascontiguousarray(array)))


@contextmanager
def _decoder_errors(name: str) -> Iterator[None]:
    """Replace any exception of a decoder by an `InputError` that names the image, in one line."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which does not change the pixels, and of large
            # images, for which `max_pixels` is the limit.
            warnings.simplefilter("ignore")
            yield
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image in a format that Pillow reads.") from None
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{name}: too large to be unpacked safely ({reason_in_one_line(error)})."
        ) from None
    except MemoryError as error:
        raise InputError(f"{name}: there is not enough memory to decode it.") from error
    except Exception as error:  # decoders raise nearly anything: struct.error, SyntaxError, ...
        raise InputError(
            f"{name}: damaged or unsupported ({reason_in_one_line(error)})."
        ) from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) == 1:
            return image  # `exif_transpose` would return a copy
        return ImageOps.exif_transpose(image)
    except Exception:  # the metadata cannot be read, so the orientation is unknown
        return image


def _check_area(image: Image.Image, name: str) -> None:
    if image.width < 1 or image.height < 1:
        raise InputError(
            f"{name}: expected an image with an area, but got {image.width} x {image.height} px."
        )
