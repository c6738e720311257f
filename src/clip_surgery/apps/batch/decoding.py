"""Decoding: images read in the background, a bounded number ahead, in windows that fit memory.

Which images share a window depends on the source alone, never on speed, so that results do not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from clip_surgery.apps.batch.items import Item
from clip_surgery.errors import InputError
from clip_surgery.inputs.images import InputImage, read_image

MOST_PIXELS = 2**25  # 100 MB of RGB: a window of larger images has fewer of them


@dataclass(frozen=True, kw_only=True)
class Read:
    """One image that was read, or why it could not be."""

    item: Item
    picture: InputImage | None = None
    error: str | None = None


def read(item: Item) -> Read:
    """Read one image; whatever is wrong with it becomes its error."""
    try:
        if item.content is None:
            raise InputError(f"{item.name}: expected an image, but got nothing (null).")
        return Read(item=item, picture=read_image(item.content, name=item.name))
    except InputError as error:
        return Read(item=item, error=str(error))
    except MemoryError:
        return Read(item=item, error=f"{item.name}: out of memory.")


def read_ahead(items: Iterable[Item], *, threads: int) -> Iterator[Read]:
    """Read images in order, by threads that are at most two images each ahead of who asks.

    With no thread, each is read when it is asked for.
    """
    if threads < 1:
        yield from map(read, items)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="decode") as pool:
        waiting: deque[Future[Read]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(read, item))
                if len(waiting) >= 2 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def windows(
    pictures: Iterable[Read], *, count: int, pixels: int = MOST_PIXELS
) -> Iterator[list[Read]]:
    """Images in runs of at most `count`, and of at most `pixels` unless one alone has more.

    Example:
        >>> read_ones = [read(Item(index, "nothing", None)) for index in range(5)]
        >>> [len(window) for window in windows(read_ones, count=2)]
        [2, 2, 1]
    """
    window: list[Read] = []
    held = 0
    for one in pictures:
        area = one.picture.size.height * one.picture.size.width if one.picture else 0
        if window and (len(window) >= count or held + area > pixels):
            yield window
            window, held = [], 0
        window.append(one)
        held += area
    if window:
        yield window
