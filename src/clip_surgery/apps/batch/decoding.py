"""Images decoded by background threads, and grouped into windows of bounded memory.

Which images share a window depends on the source only and not on timing, so that results are
reproducible.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from clip_surgery.apps.batch.items import Item
from clip_surgery.errors import InputError
from clip_surgery.inputs.images import InputImage, read_image
from clip_surgery.inputs.names import printable

MAX_PIXELS_PER_WINDOW = 2**24
"""Pixels of all images of a window: 50 MB as RGB. Two windows are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """An image of the source, decoded, or the reason why it cannot be used.

    Attributes:
        item: the image in the source.
        image: the decoded image; None if there is an error.
        error: the reason in one sentence; None if there is an image.
        modified: when the file was last changed, before it was read, in nanoseconds since 1970;
            None if the image is no file of its own.
    """

    item: Item
    image: InputImage | None = None
    error: str | None = None
    modified: int | None = None


def decode(item: Item) -> DecodedImage:
    """Decode one image; if it cannot be used, the result holds the reason."""
    name = printable(item.name)
    try:
        if item.content is None:
            raise InputError(f"{name}: expected an image, but got nothing (null).")
        modified = _time_of(item.content)
        image = read_image(item.content, name=item.name)
        return DecodedImage(item=item, image=image, modified=modified)
    except InputError as error:
        return DecodedImage(item=item, error=str(error))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return DecodedImage(item=item, error=f"{name}: cannot be read ({reason}).")
    except MemoryError:
        return DecodedImage(item=item, error=f"{name}: out of memory.")


def _time_of(content: str | bytes) -> int | None:
    if isinstance(content, bytes):
        return None
    try:
        return os.stat(content).st_mtime_ns
    except (OSError, ValueError):
        return None  # reading it gives the reason


def prefetch_images(items: Iterable[Item], *, threads: int) -> Iterator[DecodedImage]:
    """Decode images in their order, in threads that are a bounded number of images ahead.

    Args:
        items: the images of a source.
        threads: number of threads; at most two images for each are decoded ahead. With 0, each
            image is decoded when it is requested.
    """
    if threads < 1:
        yield from map(decode, items)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[DecodedImage]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(decode, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def windows(
    decoded_images: Iterable[DecodedImage], *, count: int, pixels: int = MAX_PIXELS_PER_WINDOW
) -> Iterator[list[DecodedImage]]:
    """Group consecutive images into windows.

    Args:
        decoded_images: images in their order.
        count: maximum number of images in a window.
        pixels: maximum number of pixels in a window. An image with more has a window of its own.

    Example:
        >>> decoded_images = [decode(Item(index, "nothing", None)) for index in range(5)]
        >>> [len(window) for window in windows(decoded_images, count=2)]
        [2, 2, 1]
    """
    window: list[DecodedImage] = []
    pixels_in_window = 0
    for decoded in decoded_images:
        area = decoded.image.size.height * decoded.image.size.width if decoded.image else 0
        if window and (len(window) >= count or pixels_in_window + area > pixels):
            yield window
            window, pixels_in_window = [], 0
        window.append(decoded)
        pixels_in_window += area
    if window:
        yield window
