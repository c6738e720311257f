"""Arguments: which words of a command line are images, and which are texts.

Whatever names something on disk is an image, whatever looks like an image's path is one that
is missing, the rest are texts. A mistyped path must not silently become a text.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from clip_surgery.errors import InputError
from clip_surgery.inputs.images import IMAGE_SUFFIXES, MAX_PIXELS, list_images


@dataclass(frozen=True)
class Request:
    """Images found, texts, and one line for each image that was asked for and not found."""

    images: tuple[Path, ...]
    texts: tuple[str, ...]
    missing: tuple[str, ...]
    max_pixels: int = MAX_PIXELS


def sort_arguments(arguments: Iterable[str]) -> Request:
    """Tell images (files, folders, patterns) from texts, in order.

    Example:
        >>> request = sort_arguments(["missing.jpg", "a dog"])
        >>> request.texts, request.missing
        (('a dog',), ('missing.jpg: no such file.',))
    """
    images: dict[Path, None] = {}
    texts, missing = [], []
    for argument in arguments:
        if not names_images(argument):
            texts.append(argument)
            continue
        try:
            images.update(dict.fromkeys(list_images([argument])))
        except InputError as error:
            hint = "" if _has_image_suffix(argument) else " If it is a text, give it with --text."
            missing.append(f"{error}{hint}")
    return Request(tuple(images), tuple(texts), tuple(missing))


def names_images(argument: str) -> bool:
    """Whether an argument means images, be they there or not."""
    if argument.lower().startswith(("http://", "https://")) or _has_image_suffix(argument):
        return True
    if any(separator in argument for separator in (os.sep, os.altsep) if separator):
        return True
    if os.path.exists(argument):
        return True
    return glob.has_magic(argument) and any(map(os.path.isfile, glob.iglob(argument)))


def _has_image_suffix(argument: str) -> bool:
    return Path(argument).suffix.lower() in IMAGE_SUFFIXES
