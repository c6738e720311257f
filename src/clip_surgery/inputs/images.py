"""Reading of images: every source becomes an upright RGB image, or an error that says why.

Orientation, palette, transparency, bit depth and colour space are converted here, before any
resize, so that the model and the overlay use the same image.
"""

from __future__ import annotations

import glob
import io
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from clip_surgery.errors import InputError
from clip_surgery.framing import Size
from clip_surgery.inputs.colour_modes import to_rgb
from clip_surgery.inputs.decoder_messages import without_decoder_messages
from clip_surgery.inputs.names import printable

MAX_PIXELS = 64_000_000
"""Default limit of the number of pixels of an image: about 1 GB of memory while it is decoded."""
MAX_SIDE = 65_535
"""Largest width or height of an image in pixels, which is also the limit of the JPEG format."""
MAX_BYTES = 256 * 2**20
"""Default limit of the size of an image file in bytes."""

IMAGE_SUFFIXES = frozenset(
    {".apng", ".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"}
    | {".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tga", ".tif", ".tiff", ".webp"}
)
"""Suffixes by which images are recognised in folders."""


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


_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""Opening a pipe that nobody writes to would otherwise wait for ever."""

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
        return _from_content(_file_content(source, name, max_bytes), name, max_pixels)
    raise InputError(
        f"{name or 'image'}: expected a path, bytes, a PIL image or a uint8 array, "
        f"but got {type(source).__name__}."
    )


def list_images(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Find the image files that paths, folders and glob patterns name, each once, in order.

    Args:
        paths: files, which are taken whatever their suffix; folders, which are searched with their
            subfolders for files with one of `IMAGE_SUFFIXES`; patterns, in which `**` matches
            subfolders. Hidden files and folders are skipped, and links to folders are not
            followed. The images of a folder or pattern are sorted.

    Raises:
        InputError: if a path does not exist, or a folder or pattern has no image; the message says
            what was found instead.
    """
    files: dict[Path, None] = {}
    for given in paths:
        text = os.fspath(given)
        _check_no_link(text, text)
        path = Path(text)
        if _exists(path) and path.is_dir():
            matches = _images_among(_files_below(path))
        elif _exists(path):
            matches = [path]
        elif glob.has_magic(text):
            matches = _images_among(map(Path, glob.iglob(text, recursive=True)))
        else:
            raise InputError(f"{printable(text)}: no such file.")
        if not matches:
            raise InputError(f"{printable(text)}: {_nothing_found(path)}")
        files.update(dict.fromkeys(matches))
    return list(files)


def to_pixels(source: InputImage | Image.Image) -> Tensor:
    """Return the pixels (3, H, W) of an RGB image, float32 in [0, 1].

    Raises:
        InputError: if the image is not RGB.
    """
    image = source.image if isinstance(source, InputImage) else source
    if image.mode != "RGB":
        raise InputError(f"Expected an RGB image, but got {image.mode}.")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).to(torch.float32) / 255


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, or contains NUL
        return False


def _files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder and its subfolders that are not hidden."""
    for parent, subfolders, names in os.walk(folder):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        yield from (Path(parent, name) for name in names)


def _nothing_found(path: Path) -> str:
    """Why a folder or pattern gave no image: what is there, and what would find images."""
    if not (_exists(path) and path.is_dir()):
        return f"no image matches this pattern; {path.parent}/**/*.png searches subfolders too."
    suffixes = {file.suffix.lower() or "no suffix" for file in _files_below(path)}
    if not suffixes:
        return "no image in this folder, which has no files."
    some = ", ".join(sorted(suffixes)[:5])
    return (
        f"no image in this folder, only files with {printable(some)}; files that "
        "are named one by one are read whatever their suffix."
    )


def _images_among(paths: Iterable[Path]) -> list[Path]:
    """The image files among paths, sorted; names with a leading dot are hidden files."""
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )


def _file_content(source: str | os.PathLike[str], name: str, max_bytes: int) -> bytes:
    """Read a regular file of limited size; pipes and devices could block or never end."""
    _check_no_link(os.fspath(source), name)
    try:
        descriptor = os.open(source, os.O_RDONLY | _NO_WAIT)
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                raise InputError(f"{name}: a folder, not an image.")
            if not stat.S_ISREG(status.st_mode):
                raise InputError(f"{name}: expected a regular file, not a pipe or a device.")
            content = file.read(max_bytes + 1) if status.st_size <= max_bytes else None
    except FileNotFoundError:
        raise InputError(f"{name}: no such file.") from None
    except IsADirectoryError:
        raise InputError(f"{name}: a folder, not an image.") from None
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{name}: cannot be read ({_one_line(error)}).") from error
    if content is None or len(content) > max_bytes:
        raise InputError(f"{name}: larger than the limit of {max_bytes / 2**20:g} MiB.")
    return content


def _from_content(content: bytes, name: str, max_pixels: int) -> InputImage:
    if not content:
        raise InputError(f"{name}: the file is empty.")
    with _reasons(name):
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
    with _reasons(name), without_decoder_messages(image.format):
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
def _reasons(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises on a bad file into one line that names the file."""
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
        raise InputError(f"{name}: too large to be unpacked safely ({_one_line(error)}).") from None
    except MemoryError as error:
        raise InputError(f"{name}: there is not enough memory to decode it.") from error
    except Exception as error:  # decoders raise nearly anything: struct.error, SyntaxError, ...
        raise InputError(f"{name}: damaged or unsupported ({_one_line(error)}).") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # the metadata cannot be read, so the orientation is unknown
        return image


def _check_no_link(path: str, name: str) -> None:
    if path.lower().startswith(("http://", "https://")):
        raise InputError(f"{printable(name)}: images are read from files; download it first.")


def _check_area(image: Image.Image, name: str) -> None:
    if image.width < 1 or image.height < 1:
        raise InputError(
            f"{name}: expected an image with an area, but got {image.width} x {image.height} px."
        )


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
