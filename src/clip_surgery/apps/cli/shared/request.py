"""Asking: the images and texts that a command was called with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from clip_surgery.apps.cli.shared import console
from clip_surgery.apps.cli.shared.options import PAPER_MODEL
from clip_surgery.errors import InputError

if TYPE_CHECKING:
    from clip_surgery.apps.cli.shared.arguments import Request
    from clip_surgery.backbones.backbone import Backbone
    from clip_surgery.explainer import Explainer
    from clip_surgery.text.features import TextFeatures


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Images and texts, as they stand on the command line."""

    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... TEXT...",
            help="Images (files, folders, quoted patterns) and the texts to look for in them.",
        ),
    ]
    text: Annotated[
        list[str] | None, typer.Option("--text", "-t", help="A text, whatever it looks like.")
    ] = None
    labels: Annotated[
        Path | None, typer.Option(help="A file of texts, one a line.", metavar="FILE")
    ] = None
    max_pixels: Annotated[
        int | None,
        typer.Option(
            min=1, show_default=False,
            help="Skip images of more pixels than this; 64 million if not given.",
        ),
    ] = None  # fmt: skip

    def read(self, *, need_texts: bool = True) -> Request:
        """Sort the arguments, add texts from options, and tell which images are missing.

        Raises:
            InputError: when there is no image, or no text where one is needed.
            typer.Exit: when none of the images is there.
        """
        from clip_surgery.apps.cli.shared.arguments import sort_arguments
        from clip_surgery.inputs.texts import read_labels

        request = sort_arguments(self.arguments)
        more = (*(self.text or ()), *(read_labels(self.labels) if self.labels else ()))
        request = replace(request, texts=(*request.texts, *more))
        if self.max_pixels is not None:
            request = replace(request, max_pixels=self.max_pixels)
        if not (request.images or request.missing):
            raise InputError("No image among the arguments: give a file, a folder or a pattern.")
        if need_texts and not request.texts:
            raise InputError("No text to look for: give one or more after the images.")
        for problem in request.missing:
            console.error(problem)
        if not request.images:
            raise typer.Exit(2)
        return request


def encode(explainer: Explainer, texts: Sequence[str]) -> TextFeatures:
    """Features of the texts, with a word to who asks a small model for what it does not know."""
    notice_unknown_words(explainer.backbone, texts)
    with console.status(f"reading {len(texts)} texts"):
        return explainer.encode(texts)


def notice_unknown_words(backbone: Backbone, texts: Sequence[str]) -> None:
    """Say so when a model that knows few words is asked for others."""
    from clip_surgery.text.unknown_words import unknown_texts

    unknown = unknown_texts(backbone, texts)
    if unknown:
        console.notice(
            f"this small model knows {len(backbone.nouns)} nouns (clip-surgery models demo) and "
            f"not {', '.join(unknown)}: such maps mean nothing. For real images take a "
            f"published CLIP: clip-surgery explain --model {PAPER_MODEL} IMAGE... TEXT..."
        )
