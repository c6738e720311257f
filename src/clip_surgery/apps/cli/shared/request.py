"""The images and texts that a command was called with.

An argument that names something on disk, or that looks like the path of an image, means images;
all other arguments are texts. A mistyped path must not silently become a text.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.model_options import PAPER_MODEL
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.backbones.backbone import Backbone
    from clip_surgery.explainer import Explainer
    from clip_surgery.inputs.images import InputImage
    from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True)
class Request:
    """What one call of a command asks for.

    Attributes:
        images: paths of the images, each once, in order.
        texts: the texts, in order.
        missing: one message for each argument that means images but names none.
        max_pixels: maximum number of pixels of an image; the library's limit if None.
    """

    images: tuple[Path, ...]
    texts: tuple[str, ...]
    missing: tuple[str, ...]
    max_pixels: int | None = None


@dataclass(frozen=True, kw_only=True)
class TextOptions:
    """The options that name texts, and the limit for images."""

    text: Annotated[
        list[str] | None,
        typer.Option("--text", "-t", help="A text, even if it looks like the path of an image."),
    ] = None
    labels: Annotated[
        Path | None, typer.Option(help="A file with one text per line.", metavar="FILE")
    ] = None
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False,
            help="Skip images of more pixels than this. Default: 64 million.",
        ),
    ] = None  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RequestOptions(TextOptions):
    """The arguments and options that name images and texts."""

    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... TEXT...",
            help="Images (files, folders, quoted patterns) and the texts to look for in them.",
        ),
    ]

    def read(self, *, need_texts: bool = True, need_images: bool = True) -> Request:
        """Return the images and texts, and print an error for each image that is missing.

        Args:
            need_texts: whether there must be a text.
            need_images: whether there must be an image; if not, there must be none.

        Raises:
            InputError: if no argument means images or one does, or there is no text, against
                what is needed.
            typer.Exit: if none of the images exists.
        """
        from clip_surgery.inputs.texts import read_labels

        request = sort_arguments(self.arguments)
        more_texts = (*(self.text or ()), *(read_labels(self.labels) if self.labels else ()))
        request = replace(request, texts=(*request.texts, *more_texts), max_pixels=self.max_pixels)
        if not need_images and (request.images or request.missing):
            raise InputError(
                "Expected no images beside --index, which has them, but got "
                f"{len(request.images) + len(request.missing)}."
            )
        if need_images and not (request.images or request.missing):
            raise InputError("No image among the arguments: give a file, a folder or a pattern.")
        if need_texts and not request.texts:
            raise InputError("No text to look for: give one or more after the images.")
        for message in request.missing:
            console.error(message)
        if need_images and not request.images:
            raise typer.Exit(2)
        return request

    def read_sentence(self) -> tuple[Request, str]:
        """Return the images and texts, of which there must be one, and this text.

        Raises:
            InputError: as `read`, or if there are several texts.
            typer.Exit: as `read`.
        """
        request = self.read()
        if len(request.texts) != 1:
            raise InputError(
                f"Expected one sentence, but got {len(request.texts)} texts: put it in quotes."
            )
        return request, request.texts[0]

    def read_query(
        self, like: Path | None, *, need_images: bool = True
    ) -> tuple[Request, str | InputImage]:
        """Return the images and texts, and the query: the one text, or the image of --like.

        Raises:
            InputError: as `read`, or unless there is either one text or an image that can be read.
            typer.Exit: as `read`.
        """
        from clip_surgery.inputs.images import read_image

        request = self.read(need_texts=like is None, need_images=need_images)
        if len(request.texts) != (like is None):
            raise InputError(
                f"Expected one text (in quotes), or --like, but got {len(request.texts)} texts"
                f"{'' if like is None else ' and --like'}."
            )
        return request, request.texts[0] if like is None else read_image(like)


def read_rival(text: str | None, image: Path | None) -> str | InputImage | None:
    """Return the rival of a query: a text, the image of a file, or None if there is none.

    Raises:
        InputError: if there are both, or the image cannot be read.
    """
    from clip_surgery.inputs.images import read_image

    if image is None:
        return text
    if text is not None:
        raise InputError("Expected --rival or --rival-image, but got both.")
    return read_image(image)


def sort_arguments(arguments: Iterable[str]) -> Request:
    """Separate arguments that mean images (files, folders, patterns) from texts.

    Example:
        >>> request = sort_arguments(["missing.jpg", "a dog"])
        >>> request.texts, request.missing
        (('a dog',), ('missing.jpg: no such file.',))
    """
    from clip_surgery.inputs.image_folders import list_images

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
    """Whether an argument means images, whether or not they exist."""
    if argument.lower().startswith(("http://", "https://")) or _has_image_suffix(argument):
        return True
    if any(separator in argument for separator in (os.sep, os.altsep) if separator):
        return True
    if os.path.exists(argument):
        return True
    return glob.has_magic(argument) and any(map(os.path.isfile, glob.iglob(argument)))


def _has_image_suffix(argument: str) -> bool:
    from clip_surgery.inputs.image_folders import IMAGE_SUFFIXES

    return Path(argument).suffix.lower() in IMAGE_SUFFIXES


def encode(explainer: Explainer, texts: Sequence[str]) -> TextFeatures:
    """Return the features of the texts; print a notice if a small model does not know some."""
    notice_unknown_words(explainer.backbone, texts)
    with console.status(f"encoding {len(texts)} texts"):
        return explainer.encode(texts)


def notice_unknown_words(backbone: Backbone, texts: Sequence[str]) -> None:
    """Print a notice if the model was trained on few words and the texts use others."""
    from clip_surgery.text.unknown_words import unknown_texts

    unknown = unknown_texts(backbone, texts)
    if unknown:
        console.notice(
            f"this small model knows {len(backbone.nouns)} nouns (clip-surgery models demo) and "
            f"not {', '.join(unknown)}: such maps mean nothing. For real images take a "
            f"published CLIP: clip-surgery explain --model {PAPER_MODEL} IMAGE... TEXT..."
        )
