"""Options of segmentation: what the background is, and what is done to the maps of classes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from clip_surgery.apps.cli.shared.method_options import PresetName, PresetOption
from clip_surgery.apps.cli.shared.presence_option import MinPresence
from clip_surgery.apps.cli.shared.segmenter_option import SEGMENTER_HELP
from clip_surgery.errors import InputError


class BackgroundName(StrEnum):
    """How pixels of no class are recognised."""

    NONE = "none"
    THRESHOLD = "threshold"
    PROBABILITY = "probability"
    WORDS = "words"


@dataclass(frozen=True, kw_only=True)
class SegmentationOptions:
    """The background, a lowest presence, the refinement of borders, a preset and a segmenter."""

    background: Annotated[
        BackgroundName | None,
        typer.Option(
            help="Pixels without a class: none; those whose best score is below --threshold; those "
            "whose best class is less likely than --threshold (probability, as in published "
            "codes); or those that one of --background-words matches better. Default: words if "
            "--background-words is given, otherwise none.",
            show_default=False,
        ),
    ] = None
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Lowest score of a class, from 0 to 1.")
    ] = 0.6
    background_words: Annotated[
        str | None, typer.Option(help="Texts for the background, such as 'sky,wall,floor'.")
    ] = None
    min_presence: MinPresence = None
    refine: Annotated[
        str,
        typer.Option(
            help="Move the borders of classes to edges of the image: laplacian, guided, pamr or "
            "'pixel graph'."
        ),
    ] = "none"
    preset: PresetOption = None
    segmenter: Annotated[str | None, typer.Option(help=SEGMENTER_HELP)] = None

    @property
    def words(self) -> tuple[str, ...]:
        """The words of the background."""
        text = self.background_words
        return tuple(word.strip() for word in text.split(",")) if text else ()

    @property
    def background_kind(self) -> BackgroundName:
        """How pixels of no class are recognised, with its default."""
        return self.background or (BackgroundName.WORDS if self.words else BackgroundName.NONE)

    def check(self) -> None:
        """Check options that depend on each other, before a model is loaded.

        Raises:
            InputError: if the kind of background has no words, or words that it does not use, or
                if a preset lacks what it needs or is given with an option that it sets.
            UnknownNameError: if the refinement is unknown.
        """
        from clip_surgery.refinement.registry import as_refinement

        kind = self.background_kind
        if kind is BackgroundName.WORDS and not self.words:
            raise InputError("--background words needs texts: --background-words sky,wall,floor.")
        if self.words and kind is not BackgroundName.WORDS:
            raise InputError(f"--background-words do not go with --background {kind}.")
        as_refinement(self.refine)
        if self.preset is PresetName.BEST and self.segmenter is None:
            raise InputError("--preset best needs --segmenter, such as facebook/sam-vit-base.")
        defaults = SegmentationOptions()
        set_by_preset = ("threshold", "min_presence", "refine")
        is_changed = any(getattr(self, name) != getattr(defaults, name) for name in set_by_preset)
        if self.preset is not None and is_changed:
            raise InputError(
                "--preset sets --threshold, --min-presence and --refine; give it or these."
            )
